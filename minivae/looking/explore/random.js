// The random numbers of noise.py: NumPy's SeedSequence and Philox (Salmon and others 2011) as a
// function of seed, purpose and step. Uniform numbers are NumPy's to the bit; normal ones are made
// of them by Box and Muller, where NumPy uses a ziggurat.

const random = (() => {
  const WORD = (1n << 64n) - 1n;

  function crc32(text) {
    let crc = -1;
    for (const byte of new TextEncoder().encode(text)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc >>> 0;
  }

  // Two 64-bit words from words of 32 bits: numpy.random.SeedSequence.
  function seedSequence(entropy) {
    let constant = 0x43b0d7e5;
    const hash = (value) => {
      value ^= constant;
      constant = Math.imul(constant, 0x931e8875);
      value = Math.imul(value, constant);
      return value ^ (value >>> 16);
    };
    const mix = (x, y) => {
      const mixed = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
      return mixed ^ (mixed >>> 16);
    };
    const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
    for (let from = 0; from < 4; from++) {
      for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
    }
    for (const word of entropy.slice(4)) for (let to = 0; to < 4; to++) pool[to] = mix(pool[to], hash(word));
    constant = 0x8b51f9dd;
    const words = pool.map((value) => {
      value ^= constant;
      constant = Math.imul(constant, 0x58f38ded);
      value = Math.imul(value, constant);
      return BigInt((value ^ (value >>> 16)) >>> 0);
    });
    return [words[0] | (words[1] << 32n), words[2] | (words[3] << 32n)];
  }

  // A function that returns the next number in [0, 1).
  function generator(seed, purpose, step = 0) {
    const key = seedSequence([seed, 0, 0, 0, crc32(purpose), step]);
    let counter = 0n; // enough: its second word is never reached
    let rest = [];
    const block = () => {
      counter += 1n;
      let [a, b, c, d] = [counter, 0n, 0n, 0n];
      let [k0, k1] = key;
      for (let round = 0; round < 10; round++) {
        const one = 0xd2e7470ee14c6c93n * a;
        const two = 0xca5a826395121157n * c;
        [a, b, c, d] = [(two >> 64n) ^ b ^ k0, two & WORD, (one >> 64n) ^ d ^ k1, one & WORD];
        k0 = (k0 + 0x9e3779b97f4a7c15n) & WORD;
        k1 = (k1 + 0xbb67ae8584caa73bn) & WORD;
      }
      return [a, b, c, d];
    };
    return () => {
      if (rest.length === 0) rest = block();
      return Number(rest.shift() >> 11n) / 9007199254740992;
    };
  }

  // Two standard normal numbers of two uniform ones, many times.
  function normals(count, uniform) {
    const out = new Float64Array(count);
    for (let i = 0; i < count; i += 2) {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      const angle = 2 * Math.PI * uniform();
      out[i] = radius * Math.cos(angle);
      if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
    }
    return out;
  }

  // A random order of 0 .. n-1: that of n uniform numbers.
  function permutation(n, uniform) {
    const keys = Float64Array.from({ length: n }, uniform);
    return Uint32Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b]);
  }

  return { generator, normals, permutation };
})();
