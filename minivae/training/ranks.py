"""One run on many processes, perhaps on many machines: ranks of MPI, through mpi4py.

Every rank has the whole model and computes its rows of every batch; what is sent is one sum, of the
flat gradient. Who asks for which rows is steps.py's matter; files and terminal are rank 0's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minivae.errors import BackendError, MinivaeError

STARTED = ("PMI_", "PMIX_", "OMPI_", "MPI_", "SLURM_PROCID")  # what mpiexec leaves in names
INSTALL = 'pip install "minivae[mpi]" mpich'


class Ranks:
    """The ranks of this run.

    Attributes
    ----------
    rank, size : int
        This one's number, from 0, and how many there are.

    Raises
    ------
    BackendError
        If mpi4py is missing, or this process was not started by mpiexec.
    """

    def __init__(self) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
            reason = str(error).splitlines()[0]
            raise BackendError(f"--ranks needs mpi4py and an MPI ({reason}): {INSTALL}") from None
        self._mpi, self._all = MPI, MPI.COMM_WORLD
        self.rank, self.size = self._all.Get_rank(), self._all.Get_size()
        if self.size == 1 and not any(name.startswith(STARTED) for name in os.environ):
            raise BackendError(
                "--ranks: this is a single process; start it as mpiexec -n 4 minivae train --ranks "
                f"mpi (mpiexec comes with an MPI: {INSTALL})"
            )

    def rows(self, n: int) -> slice:
        """Return this rank's share of n rows."""
        return slice(n * self.rank // self.size, n * (self.rank + 1) // self.size)

    def add(self, array: np.ndarray) -> None:
        """Overwrite the array on every rank with the sum of all ranks' arrays."""
        self._all.Allreduce(self._mpi.IN_PLACE, array)

    def any(self, mine: bool) -> bool:
        """Whether it is so on any rank; every rank must ask."""
        return bool(self._all.allreduce(int(mine)))

    def least(self, mine: Any) -> Any:
        """Return the least of all ranks' values, None if none has one; every rank must ask."""
        return min((each for each in self._all.allgather(mine) if each is not None), default=None)

    def agree(self, facts: dict[str, Any]) -> None:
        """Compare facts by name with those of rank 0; every rank must call this.

        Raises
        ------
        MinivaeError
            On every rank, if one differs.
        """
        for rank, others in enumerate(self._all.allgather(facts)):
            for name, value in others.items():
                if rank == 0:
                    first = others
                elif value != first[name]:
                    raise MinivaeError(
                        f"rank {rank} has another {name} than rank 0 ({value!s:.60}, not "
                        f"{first[name]!s:.60}): start all ranks with one command, version and data"
                    )

    @contextmanager
    def together(self, say: Callable[[str], None]) -> Iterator[None]:
        """End all ranks if an error ends one, which would leave the others waiting for ever.

        What all meet at once is said by rank 0 alone.
        """
        try:
            yield
        except Exception as error:
            if not isinstance(error, MinivaeError):
                import traceback

                traceback.print_exc()
            if self.rank:
                time.sleep(2)  # rank 0 ends all by then, if it has met the same
            where = f"rank {self.rank}: " if self.rank else ""
            say(f"Error: {where}{error}")
            time.sleep(0.3)  # mpiexec passes the line on before it ends what it has started
            self._all.Abort(1)
