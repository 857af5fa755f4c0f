// The CUDA kernels: the twins of formulas.py, and what an epoch on the device needs besides.
// How they are launched and with which arrays is in the Python files beside this one.
//
// The text is compiled twice, with REAL as float and as double. Scalars come as long long or
// double; a matrix as its pointer and `ld`, the elements from one row to the next. Every sum has
// one fixed order, whatever the device, so a run repeats to the bit. Letters as in formulas.py.

typedef long long i64;

#define THREADS 256

// --- Sums --------------------------------------------------------------------------------------

// The sum of every thread's value, given to all of them.
__device__ double block_sum(double value) {
    __shared__ double sums[THREADS];
    sums[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    double total = sums[0];
    __syncthreads();
    return total;
}

// True in the block that arrives last of `count`; all that the others wrote before is then visible.
__device__ bool arrive(unsigned *arrived, unsigned count) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrived, 1u) == count - 1;
        if (last) *arrived = 0;
    }
    __syncthreads();
    bool answer = last;
    __syncthreads();
    if (answer) __threadfence();
    return answer;
}

// *out = factor * the sum of all blocks' values: the last block adds the partial sums in order.
__device__ void grid_sum(double value, double factor, double *partials, unsigned *arrived,
                         double *out) {
    double sum = block_sum(value);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
    if (!arrive(arrived, gridDim.x)) return;
    double mine = 0;
    for (unsigned b = threadIdx.x; b < gridDim.x; b += THREADS) mine += __ldcg(partials + b);
    sum = block_sum(mine);
    if (threadIdx.x == 0) *out = factor * sum;
}

// NaN stays NaN in both.
__device__ REAL relu_of(REAL x) { return x <= 0 ? (REAL)0 : x; }
__device__ REAL relu_backward_of(REAL y, REAL dy) { return (y > 0 ? (REAL)1 : (REAL)0) * dy; }

// --- Products: out (m, n) = a (m, k) b (k, n) + bias (n) ----------------------------------------

// One block makes a tile of 16R x 16R, each thread R x R of it, from 64/R columns of a at a time:
// while it multiplies one stage, the next is on its way. Either operand may be transposed: element
// (i, j) of a lies at i * am + j * ak, and one of the two is 1.
//
// `following`, if given, gets what ReLU makes of the result or, with `mask`, what ReLU's backward
// does: mask is then ReLU's output y, and the result its dy.
//
// With `splits` above 1 the depth k is shared by that many blocks per tile. Each leaves its part in
// `parts`; the last one adds them in order.
template <int R>
__device__ void product(i64 m, i64 n, i64 k, const REAL *a, i64 am, i64 ak, const REAL *b, i64 bk,
                        i64 bn, const REAL *bias, REAL *out, i64 ld, i64 splits, i64 chunk,
                        REAL *parts, unsigned *arrived, const REAL *mask, i64 mask_ld,
                        REAL *following, i64 following_ld) {
    const int TILE = 16 * R, DEPTH = 64 / R, WIDTH = TILE + R / 2;
    __shared__ __align__(16) REAL as[2][DEPTH][WIDTH], bs[2][DEPTH][WIDTH];
    const int t = threadIdx.x, row = t / 16 * R, column = t % 16 * R;
    const i64 first_row = (i64)blockIdx.y * TILE, first_column = (i64)blockIdx.x * TILE;
    const i64 start = (i64)blockIdx.z * chunk, stop = start + chunk < k ? start + chunk : k;
    REAL next_a[4], next_b[4], sum[R][R];

    // Neighbouring threads read neighbouring numbers, along the depth or across it.
    int depth_a[4], across_a[4], depth_b[4], across_b[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int e = t + i * THREADS;
        depth_a[i] = ak == 1 ? e % DEPTH : e / TILE;
        across_a[i] = ak == 1 ? e / DEPTH : e % TILE;
        depth_b[i] = bn == 1 ? e / TILE : e % DEPTH;
        across_b[i] = bn == 1 ? e % TILE : e / DEPTH;
    }
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
        for (int j = 0; j < R; j++) sum[i][j] = 0;

    int side = 0;
    for (i64 at = start; at < stop + DEPTH; at += DEPTH) {
        if (at < stop) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                i64 da = at + depth_a[i], ra = first_row + across_a[i];
                i64 db = at + depth_b[i], cb = first_column + across_b[i];
                next_a[i] = da < stop && ra < m ? a[ra * am + da * ak] : (REAL)0;
                next_b[i] = db < stop && cb < n ? b[db * bk + cb * bn] : (REAL)0;
            }
        }
        if (at > start) {
#pragma unroll
            for (int d = 0; d < DEPTH; d++) {
                REAL left[R], right[R];
#pragma unroll
                for (int i = 0; i < R; i++) left[i] = as[side][d][row + i];
#pragma unroll
                for (int j = 0; j < R; j++) right[j] = bs[side][d][column + j];
#pragma unroll
                for (int i = 0; i < R; i++)
#pragma unroll
                    for (int j = 0; j < R; j++) sum[i][j] += left[i] * right[j];
            }
            side = 1 - side;
        }
        if (at < stop) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                as[side][depth_a[i]][across_a[i]] = next_a[i];
                bs[side][depth_b[i]][across_b[i]] = next_b[i];
            }
            __syncthreads();
        }
    }

    if (splits > 1) {
        const i64 tile = (i64)blockIdx.y * gridDim.x + blockIdx.x;
        REAL *mine = parts + (tile * splits + blockIdx.z) * R * R * THREADS;
#pragma unroll
        for (int e = 0; e < R * R; e++) mine[e * THREADS + t] = sum[e / R][e % R];
        if (!arrive(arrived + tile, (unsigned)splits)) return;
        const REAL *all = parts + tile * splits * R * R * THREADS;  // not through L1: see __ldcg
#pragma unroll
        for (int e = 0; e < R * R; e++) sum[e / R][e % R] = 0;
#pragma unroll(R == 2 ? 4 : 1)  // 16 numbers or more are under way at a time
        for (i64 s = 0; s < splits; s++)
#pragma unroll
            for (int e = 0; e < R * R; e++)
                sum[e / R][e % R] += __ldcg(all + (s * R * R + e) * THREADS + t);
    }
#pragma unroll
    for (int i = 0; i < R; i++)
#pragma unroll
        for (int j = 0; j < R; j++) {
            i64 r = first_row + row + i, c = first_column + column + j;
            if (r >= m || c >= n) continue;
            REAL value = sum[i][j] + (bias ? bias[c] : (REAL)0);
            out[r * ld + c] = value;
            if (following)
                following[r * following_ld + c] =
                    mask ? relu_backward_of(mask[r * mask_ld + c], value) : relu_of(value);
        }
}

// How many blocks are to fit on a multiprocessor at once: the compiler then spares registers.
#define RESIDENT(R) (R == 2 ? 4 : R == 4 ? 2 : sizeof(REAL) == 4 ? 2 : 1)

#define PRODUCT(R)                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT(R)) product_##R(               \
        i64 m, i64 n, i64 k, const REAL *a, i64 am, i64 ak, const REAL *b, i64 bk, i64 bn,        \
        const REAL *bias, REAL *out, i64 ld, i64 splits, i64 chunk, REAL *parts,                  \
        unsigned *arrived, const REAL *mask, i64 mask_ld, REAL *following, i64 following_ld) {    \
        product<R>(m, n, k, a, am, ak, b, bk, bn, bias, out, ld, splits, chunk, parts, arrived,   \
                   mask, mask_ld, following, following_ld);                                       \
    }
PRODUCT(2)
PRODUCT(4)
PRODUCT(8)

extern "C" __global__ void add_bias(i64 rows, i64 columns, const REAL *bias, REAL *y, i64 ld) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x, c = i % (unsigned)columns;
    if (i < rows * columns) y[i / (unsigned)columns * ld + c] += bias[c];
}

// out_c = sum_r x_rc. 32 x 32 threads: each adds every 32nd row of its column, then one adds those.
extern "C" __global__ void __launch_bounds__(1024)
    column_sums(i64 rows, i64 columns, const REAL *x, i64 ld, REAL *out) {
    __shared__ double sums[32][33];
    i64 c = (i64)blockIdx.x * 32 + threadIdx.x;
    double sum = 0;
    if (c < columns)
        for (i64 r = threadIdx.y; r < rows; r += 32) sum += x[r * ld + c];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < columns) {
        for (int j = 1; j < 32; j++) sum += sums[j][threadIdx.x];
        out[c] = (REAL)sum;
    }
}

// --- Elementwise: y from x, or dx from y and dy; one thread an element ---------------------------

#define ELEMENT                                                                                   \
    unsigned i = blockIdx.x * THREADS + threadIdx.x;                                              \
    if (i >= rows * columns) return;                                                              \
    i64 r = i / (unsigned)columns, c = i % (unsigned)columns;

#define FORWARD(name, result)                                                                     \
    extern "C" __global__ void name(i64 rows, i64 columns, const REAL *xs, i64 x_ld, REAL *ys,    \
                                    i64 y_ld) {                                                   \
        ELEMENT                                                                                   \
        REAL x = xs[r * x_ld + c];                                                                \
        ys[r * y_ld + c] = result;                                                                \
    }

#define BACKWARD(name, result)                                                                    \
    extern "C" __global__ void name(i64 rows, i64 columns, const REAL *ys, i64 y_ld,              \
                                    const REAL *dys, i64 dy_ld, REAL *dxs, i64 dx_ld) {           \
        ELEMENT                                                                                   \
        REAL y = ys[r * y_ld + c], dy = dys[r * dy_ld + c];                                       \
        dxs[r * dx_ld + c] = result;                                                              \
    }

FORWARD(relu, relu_of(x))
BACKWARD(relu_backward, relu_backward_of(y, dy))
FORWARD(sigmoid, (REAL)0.5 * tanh((REAL)0.5 * x) + (REAL)0.5)
BACKWARD(sigmoid_backward, dy * y * (1 - y))
FORWARD(tanh_forward, tanh(x))
BACKWARD(tanh_backward, dy * (1 - y * y))

// --- Reparameterization --------------------------------------------------------------------------

extern "C" __global__ void reparameterize(i64 rows, i64 columns, const REAL *mu, i64 mu_ld,
                                          const REAL *logvar, i64 logvar_ld, const REAL *eps,
                                          i64 eps_ld, REAL *noise, i64 noise_ld, REAL *z,
                                          i64 z_ld) {
    ELEMENT
    REAL n = exp((REAL)0.5 * logvar[r * logvar_ld + c]) * eps[r * eps_ld + c];
    noise[r * noise_ld + c] = n;
    z[r * z_ld + c] = mu[r * mu_ld + c] + n;
}

extern "C" __global__ void reparameterize_backward(i64 rows, i64 columns, const REAL *dz,
                                                   i64 dz_ld, const REAL *noise, i64 noise_ld,
                                                   REAL *dmu, i64 dmu_ld, REAL *dlogvar,
                                                   i64 dlogvar_ld) {
    ELEMENT
    REAL d = dz[r * dz_ld + c];
    dmu[r * dmu_ld + c] += d;
    dlogvar[r * dlogvar_ld + c] += (REAL)0.5 * d * noise[r * noise_ld + c];
}

// --- The two terms of the loss: value and gradient in one pass -----------------------------------

// log(1 + e^-|l|), the part of softplus(l) = max(l, 0) + log(1 + e^-|l|) that needs care.
__device__ REAL log_part(REAL l) { return log1p(exp(-fabs(l))); }

// e^l / (1 + e^l), from e^-|l|, which never overflows.
__device__ REAL logistic(REAL l) {
    REAL e = exp(-fabs(l));
    return (l >= 0 ? (REAL)1 : e) / (1 + e);
}

extern "C" __global__ void bernoulli_nll(i64 rows, i64 columns, const REAL *logits, i64 logits_ld,
                                         const REAL *x, i64 x_ld, double scale, REAL *dlogits,
                                         i64 dlogits_ld, double *partials, unsigned *arrived,
                                         double *out) {
    double value = 0;
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < rows * columns;
         i += gridDim.x * THREADS) {
        i64 r = i / (unsigned)columns, c = i % (unsigned)columns;
        REAL l = logits[r * logits_ld + c], p = x[r * x_ld + c];
        value += (l > 0 ? l : (REAL)0) - p * l + log_part(l);
        dlogits[r * dlogits_ld + c] = (logistic(l) - p) * (REAL)scale;
    }
    grid_sum(value, scale, partials, arrived, out);
}

// beta is read from *beta_at where that is given: a captured step takes it from there.
extern "C" __global__ void gaussian_kl(i64 rows, i64 columns, const REAL *mu, i64 mu_ld,
                                       const REAL *logvar, i64 logvar_ld, double beta,
                                       const double *beta_at, double scale, REAL *dmu, i64 dmu_ld,
                                       REAL *dlogvar, i64 dlogvar_ld, double *partials,
                                       unsigned *arrived, double *out) {
    if (beta_at) beta = *beta_at;
    const REAL slope = (REAL)(beta * scale), half = (REAL)(0.5 * beta * scale);
    double value = 0;
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < rows * columns;
         i += gridDim.x * THREADS) {
        i64 r = i / (unsigned)columns, c = i % (unsigned)columns;
        REAL u = mu[r * mu_ld + c], v = logvar[r * logvar_ld + c], e = expm1(v);
        value += (double)(u * u) + (double)(e - v);
        dmu[r * dmu_ld + c] = u * slope;
        dlogvar[r * dlogvar_ld + c] = e * half;
    }
    grid_sum(value, 0.5 * scale, partials, arrived, out);
}

// One block an image.
extern "C" __global__ void bernoulli_log_likelihood(i64 columns, const REAL *logits, i64 logits_ld,
                                                    const REAL *x, i64 x_ld, REAL *out) {
    const REAL *l = logits + blockIdx.x * logits_ld, *p = x + blockIdx.x * x_ld;
    double value = 0;
    for (i64 c = threadIdx.x; c < columns; c += THREADS)
        value += p[c] * l[c] - (l[c] > 0 ? l[c] : (REAL)0) - log_part(l[c]);
    value = block_sum(value);
    if (threadIdx.x == 0) out[blockIdx.x] = (REAL)value;
}

extern "C" __global__ void gaussian_kl_each(i64 rows, i64 columns, const REAL *mu, i64 mu_ld,
                                            const REAL *logvar, i64 logvar_ld, REAL *out,
                                            i64 out_ld) {
    ELEMENT
    REAL u = mu[r * mu_ld + c], v = logvar[r * logvar_ld + c];
    out[r * out_ld + c] = (REAL)0.5 * (expm1(v) - v + u * u);
}

// --- Adam: the whole vector in one launch --------------------------------------------------------

// Where `constants` is given, as in a captured step, it holds beta1, beta2, rate and floor.
extern "C" __global__ void adam(i64 size, REAL *theta, const REAL *grad, REAL *m, REAL *v,
                                double beta1, double beta2, double rate, double floor,
                                const double *constants) {
    i64 i = (i64)blockIdx.x * THREADS + threadIdx.x;
    if (i >= size) return;
    if (constants) {
        beta1 = constants[0], beta2 = constants[1];
        rate = constants[2], floor = constants[3];
    }
    REAL g = grad[i], first = (REAL)beta1 * m[i] + g, second = (REAL)beta2 * v[i] + g * g;
    m[i] = first;
    v[i] = second;
    theta[i] -= (REAL)rate * (first / (sqrt(second) + (REAL)floor));
}

// --- The epoch on the device ---------------------------------------------------------------------

// What a step needs to know and a captured graph cannot be told: numbers of the run, in doubles.
enum { STEP, LR, EPS, BETA, BETA1, BETA2, RATE, FLOOR, CURSOR, NLL_SUM, KL_SUM };

extern "C" __global__ void put(double *state, i64 place, double value) { state[place] = value; }

// Write batch rows `cursor`, `cursor` + 1, ... of this block of the epoch into x (images, D), as
// pixels.to_pixels does, and their noise into eps (images, Z). One block an image.
extern "C" __global__ void gather(i64 D, i64 Z, const void *data, i64 kind, const i64 *order,
                                  const double *state, i64 binarize, const float *uniform,
                                  const REAL *noise, REAL *x, REAL *eps) {
    const i64 at = (i64)state[CURSOR] + blockIdx.x, from = order[at] * D, to = blockIdx.x * D;
    for (i64 c = threadIdx.x; c < D; c += THREADS) {
        REAL p = kind == 0   ? (REAL)((const unsigned char *)data)[from + c] / (REAL)255
                 : kind == 1 ? (REAL)((const float *)data)[from + c]
                             : (REAL)((const double *)data)[from + c];
        if (binarize == 1) p = p >= (REAL)0.5;
        if (binarize == 2) p = uniform[at * D + c] < p;
        x[to + c] = p;
    }
    for (i64 c = threadIdx.x; c < Z; c += THREADS) eps[blockIdx.x * Z + c] = noise[at * Z + c];
}

// One thread: add this step's losses to the sums, move on to the next batch, count the step and
// make Adam's two constants as formulas.adam_constants does.
extern "C" __global__ void finish(double *state, i64 images, const double *nll, const double *kl) {
    state[NLL_SUM] += *nll * images;
    state[KL_SUM] += *kl * images;
    state[CURSOR] += images;
    double step = state[STEP] += 1;
    double a = (1 - state[BETA1]) / (1 - pow(state[BETA1], step));
    double c = sqrt((1 - state[BETA2]) / (1 - pow(state[BETA2], step)));
    state[RATE] = state[LR] * a / c;
    state[FLOOR] = state[EPS] / c;
}
