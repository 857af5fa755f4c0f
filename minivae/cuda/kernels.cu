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

// Each of the N values becomes its sum over the `count` blocks, of which this is one, in the block
// that comes last, which adds the partial sums in order. Returns whether this is that block.
template <int N>
__device__ bool grid_sums(double (&values)[N], unsigned block, unsigned count, double *partials,
                          unsigned *arrived) {
#pragma unroll
    for (int n = 0; n < N; n++) {
        double sum = block_sum(values[n]);
        if (threadIdx.x == 0) partials[n * count + block] = sum;
    }
    if (!arrive(arrived, count)) return false;
#pragma unroll
    for (int n = 0; n < N; n++) {
        double mine = 0;
        for (unsigned b = threadIdx.x; b < count; b += THREADS)
            mine += __ldcg(partials + n * count + b);
        values[n] = block_sum(mine);
    }
    return true;
}

// *out = factor * the sum of the values of `count` blocks.
__device__ void grid_sum(double value, double factor, unsigned block, unsigned count,
                         double *partials, unsigned *arrived, double *out) {
    double values[] = {value};
    if (grid_sums(values, block, count, partials, arrived) && threadIdx.x == 0)
        *out = factor * values[0];
}

// The sum of the values of a warp's threads, given to all of them.
__device__ double warp_sum(double value) {
    for (int bit = 16; bit > 0; bit /= 2) value += __shfl_xor_sync(~0u, value, bit);
    return value;
}

// The largest of them; a NaN is passed over.
__device__ double warp_max(double value) {
    for (int bit = 16; bit > 0; bit /= 2) {
        double other = __shfl_xor_sync(~0u, value, bit);
        if (other > value) value = other;
    }
    return value;
}

// NaN stays NaN in both.
__device__ REAL relu_of(REAL x) { return x <= 0 ? (REAL)0 : x; }
__device__ REAL relu_backward_of(REAL y, REAL dy) { return (y > 0 ? (REAL)1 : (REAL)0) * dy; }

// --- Products: out (m, n) = a (m, k) b (k, n) + bias (n) ----------------------------------------

// One block makes a tile of 16R x 16R, each thread R x R of it, from 64/R columns of a at a time:
// while it multiplies one stage, the next is on its way. Either operand may be transposed: element
// (i, j) of a lies at i * am + j * ak, and one of the two is 1.
//
// With `splits` above 1 the depth k is shared by that many blocks per tile. Each leaves its part in
// `parts`; the last one adds them in order. What becomes of the numbers is for `end`: end(r, c,
// value) for each. With END::SUMS, end.row(r, sum) too gets the sums of a's rows. Returns whether
// this block has ended its tile.
template <int R, class END>
__device__ bool product(i64 down, i64 across, i64 split, i64 tile, i64 m, i64 n, i64 k,
                        const REAL *a, i64 am, i64 ak, const REAL *b, i64 bk, i64 bn,
                        const REAL *bias, i64 splits, i64 chunk, REAL *parts, unsigned *arrived,
                        END &end) {
    const int TILE = 16 * R, DEPTH = 64 / R, WIDTH = TILE + R / 2;
    __shared__ __align__(16) REAL as[2][DEPTH][WIDTH], bs[2][DEPTH][WIDTH];
    const int t = threadIdx.x, row = t / 16 * R, column = t % 16 * R;
    const i64 first_row = down * TILE, first_column = across * TILE;
    const i64 start = split * chunk, stop = start + chunk < k ? start + chunk : k;
    REAL next_a[4], next_b[4], sum[R][R], row_sum[R];

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
    for (int i = 0; i < R; i++) {
        row_sum[i] = 0;
#pragma unroll
        for (int j = 0; j < R; j++) sum[i][j] = 0;
    }

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
                for (int i = 0; i < R; i++) {
                    left[i] = as[side][d][row + i];
                    if (END::SUMS) row_sum[i] += left[i];
                }
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
        REAL *mine = parts + (tile * splits + split) * R * R * THREADS;
#pragma unroll
        for (int e = 0; e < R * R; e++) mine[e * THREADS + t] = sum[e / R][e % R];
        if (!arrive(arrived + tile, (unsigned)splits)) return false;
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
            if (r < m && c < n) end(r, c, sum[i][j] + (bias ? bias[c] : (REAL)0));
        }
    if (END::SUMS && across == 0 && column == 0)
#pragma unroll
        for (int i = 0; i < R; i++)
            if (first_row + row + i < m) end.row(first_row + row + i, row_sum[i]);
    return true;
}

// The result goes to `out`. `following`, if given, gets what ReLU makes of it or, with `mask`, what
// ReLU's backward does: mask is then ReLU's output y, and the result its dy.
struct Store {
    enum { SUMS = false };
    REAL *out;
    i64 ld;
    const REAL *mask;
    i64 mask_ld;
    REAL *following;
    i64 following_ld;
    __device__ void operator()(i64 r, i64 c, REAL value) {
        out[r * ld + c] = value;
        if (following)
            following[r * following_ld + c] =
                mask ? relu_backward_of(mask[r * mask_ld + c], value) : relu_of(value);
    }
    __device__ void row(i64, REAL) {}
};

// How many blocks are to fit on a multiprocessor at once: the compiler then spares registers.
#define RESIDENT(R) (R == 2 ? 4 : R == 4 ? 2 : sizeof(REAL) == 4 ? 2 : 1)

#define PRODUCT(R)                                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT(R)) product_##R(               \
        i64 m, i64 n, i64 k, const REAL *a, i64 am, i64 ak, const REAL *b, i64 bk, i64 bn,        \
        const REAL *bias, REAL *out, i64 ld, i64 splits, i64 chunk, REAL *parts,                  \
        unsigned *arrived, const REAL *mask, i64 mask_ld, REAL *following, i64 following_ld) {    \
        Store end{out, ld, mask, mask_ld, following, following_ld};                               \
        product<R>(blockIdx.y, blockIdx.x, blockIdx.z, (i64)blockIdx.y * gridDim.x + blockIdx.x,  \
                   m, n, k, a, am, ak, b, bk, bn, bias, splits, chunk, parts, arrived, end);      \
    }
PRODUCT(2)
PRODUCT(4)
PRODUCT(8)

extern "C" __global__ void add_bias(i64 rows, i64 columns, const REAL *bias, REAL *y, i64 ld) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x, c = i % (unsigned)columns;
    if (i < rows * columns) y[i / (unsigned)columns * ld + c] += bias[c];
}

// out_c = sum_r term_rc. 32 x 32 threads: each adds every 32nd row of its column, then one adds those.
#define COLUMN_SUM(term)                                                                          \
    __shared__ double sums[32][33];                                                               \
    i64 c = (i64)blockIdx.x * 32 + threadIdx.x;                                                   \
    double sum = 0;                                                                               \
    if (c < columns)                                                                              \
        for (i64 r = threadIdx.y; r < rows; r += 32) sum += term;                                 \
    sums[threadIdx.y][threadIdx.x] = sum;                                                         \
    __syncthreads();                                                                              \
    if (threadIdx.y == 0 && c < columns) {                                                        \
        for (int j = 1; j < 32; j++) sum += sums[j][threadIdx.x];                                 \
        out[c] = (REAL)sum;                                                                       \
    }

extern "C" __global__ void __launch_bounds__(1024)
    column_sums(i64 rows, i64 columns, const REAL *x, i64 ld, REAL *out) {
    COLUMN_SUM(x[r * ld + c])
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

// --- Activations of networks: of x, with a constant k; the slope may be of y instead --------------

#define ACTIVATION(name, value, slope)                                                            \
    extern "C" __global__ void name(i64 rows, i64 columns, const REAL *xs, i64 x_ld, double k,    \
                                    REAL *ys, i64 y_ld) {                                         \
        ELEMENT                                                                                   \
        REAL x = xs[r * x_ld + c];                                                                \
        ys[r * y_ld + c] = value;                                                                 \
    }                                                                                             \
    extern "C" __global__ void name##_backward(i64 rows, i64 columns, const REAL *xs, i64 x_ld,   \
                                               double k, const REAL *dys, i64 dy_ld, REAL *dxs,   \
                                               i64 dx_ld) {                                       \
        ELEMENT                                                                                   \
        REAL x = xs[r * x_ld + c];                                                                \
        dxs[r * dx_ld + c] = (slope) * dys[r * dy_ld + c];                                        \
    }

__device__ REAL sigmoid_of(REAL x) { return (REAL)0.5 * tanh((REAL)0.5 * x) + (REAL)0.5; }
__device__ REAL normal_cdf(REAL x) { return (REAL)0.5 * erfc(x * (REAL)-0.70710678118654752); }
__device__ REAL inner_tanh(REAL x) {
    return tanh((REAL)0.79788456080286536 * x * (1 + (REAL)0.044715 * x * x));
}

ACTIVATION(leaky_relu, x > 0 ? x : (REAL)k * x, x > 0 ? (REAL)1 : (REAL)k)
ACTIVATION(elu, x > 0 ? x : (REAL)k * expm1(x), x > 0 ? (REAL)1 : x + (REAL)k)  // its slope from y
ACTIVATION(silu, x * sigmoid_of(x), sigmoid_of(x) * (1 + x * (1 - sigmoid_of(x))))
ACTIVATION(gelu, x * normal_cdf(x),
           normal_cdf(x) + x * (REAL)0.39894228040143268 * exp((REAL)-0.5 * x * x))
ACTIVATION(gelu_tanh, (REAL)0.5 * x * (1 + inner_tanh(x)),
           (REAL)0.5 * (1 + inner_tanh(x) +
                        x * (1 - inner_tanh(x) * inner_tanh(x)) * (REAL)0.79788456080286536 *
                            (1 + (REAL)0.134145 * x * x)))
ACTIVATION(softplus, log1p(exp(-fabs(x))) + (x <= 0 ? (REAL)0 : x), sigmoid_of(x))

// With a number for each column: scaled, scaled and shifted, or scaled below 0 alone.
extern "C" __global__ void scale_shift(i64 rows, i64 columns, const REAL *xs, i64 x_ld,
                                       const REAL *weight, const REAL *bias, REAL *ys, i64 y_ld) {
    ELEMENT
    ys[r * y_ld + c] = xs[r * x_ld + c] * weight[c] + (bias ? bias[c] : (REAL)0);
}

extern "C" __global__ void scale_below(i64 rows, i64 columns, const REAL *xs, i64 x_ld,
                                       const REAL *weight, const REAL *dys, i64 dy_ld, REAL *dxs,
                                       i64 dx_ld) {
    ELEMENT
    REAL dy = dys[r * dy_ld + c];
    dxs[r * dx_ld + c] = xs[r * x_ld + c] > 0 ? dy : weight[c] * dy;
}

extern "C" __global__ void __launch_bounds__(1024)
    column_products(i64 rows, i64 columns, const REAL *xs, i64 x_ld, const REAL *dys, i64 dy_ld,
                    i64 below, REAL *out) {
    COLUMN_SUM((below && xs[r * x_ld + c] > 0 ? (REAL)0 : xs[r * x_ld + c]) * dys[r * dy_ld + c])
}

// --- Normalisation: a block for each row and group of (B, P, G, n), contiguous --------------------

#define EACH_OF_GROUP                                                                             \
    i64 start = blockIdx.x / (unsigned)groups * pixels * groups * n + blockIdx.x % (unsigned)groups * n; \
    for (i64 j = threadIdx.x; j < pixels * n; j += THREADS)
#define AT (start + j / n * groups * n + j % n)

extern "C" __global__ void __launch_bounds__(THREADS)
    normalise(i64 pixels, i64 groups, i64 n, const REAL *x, double eps, REAL *xhat, REAL *inverse) {
    double sum = 0, squares = 0, count = (double)(pixels * n);
    { EACH_OF_GROUP sum += x[AT]; }
    double mean = block_sum(sum) / count;
    { EACH_OF_GROUP squares += (x[AT] - mean) * (x[AT] - mean); }
    double r = 1 / sqrt(block_sum(squares) / count + eps);
    if (threadIdx.x == 0) inverse[blockIdx.x] = (REAL)r;
    { EACH_OF_GROUP xhat[AT] = (REAL)((x[AT] - mean) * r); }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    normalise_backward(i64 pixels, i64 groups, i64 n, const REAL *g, const REAL *xhat,
                       const REAL *inverse, REAL *dx) {
    double sum = 0, shares = 0, count = (double)(pixels * n);
    { EACH_OF_GROUP sum += g[AT], shares += (double)g[AT] * xhat[AT]; }
    double mean = block_sum(sum) / count, share = block_sum(shares) / count;
    { EACH_OF_GROUP dx[AT] = (REAL)((g[AT] - mean - xhat[AT] * share) * inverse[blockIdx.x]); }
}

// --- Convolutions: numbers put where a product wants them; one thread for each that is written ----

#define PLACE(size)                                                                               \
    i64 i = (i64)blockIdx.x * THREADS + threadIdx.x;                                              \
    if (i >= (size)) return;                                                                      \
    i64 rest = i;
#define NEXT(name, length)                                                                        \
    i64 name = rest % (length);                                                                   \
    rest /= (length);

extern "C" __global__ void pad(i64 size, const REAL *x, i64 H, i64 W, i64 C, i64 top, i64 left,
                               i64 high, i64 wide, REAL *padded) {
    PLACE(size) NEXT(c, C) NEXT(q, wide) NEXT(r, high)
    bool inside = r >= top && r < top + H && q >= left && q < left + W;
    padded[i] = inside ? x[((rest * H + r - top) * W + q - left) * C + c] : (REAL)0;
}

extern "C" __global__ void patches(i64 size, const REAL *x, i64 H, i64 W, i64 C, i64 down,
                                   i64 across, i64 h, i64 w, i64 kh, i64 kw, REAL *cols) {
    PLACE(size) NEXT(c, C) NEXT(v, kw) NEXT(u, kh) NEXT(q, w) NEXT(r, h)
    cols[i] = x[((rest * H + r * down + u) * W + q * across + v) * C + c];
}

extern "C" __global__ void spread(i64 size, const REAL *blocks, i64 n, i64 m, i64 sh, i64 sw,
                                  i64 C, i64 top, i64 left, i64 H, i64 W, REAL *x) {
    PLACE(size) NEXT(c, C) NEXT(q, W) NEXT(r, H)
    i64 R = r + top, Q = q + left;
    x[i] = blocks[((((rest * n + R / sh) * m + Q / sw) * sh + R % sh) * sw + Q % sw) * C + c];
}

extern "C" __global__ void by_patch(i64 size, const REAL *weight, i64 C, i64 kh, i64 kw, REAL *out) {
    PLACE(size) NEXT(c, C) NEXT(v, kw) NEXT(u, kh)
    out[i] = weight[((rest * C + c) * kh + u) * kw + v];
}

extern "C" __global__ void from_patch(i64 size, const REAL *rows, i64 C, i64 kh, i64 kw, REAL *out) {
    PLACE(size) NEXT(v, kw) NEXT(u, kh) NEXT(c, C)
    out[i] = rows[((rest * kh + u) * kw + v) * C + c];
}

extern "C" __global__ void by_block(i64 size, const REAL *weight, i64 A, i64 C, i64 kh, i64 kw,
                                    i64 mh, i64 mw, i64 sh, i64 sw, REAL *out) {
    PLACE(size) NEXT(c, C) NEXT(v, sw) NEXT(u, sh) NEXT(a, A) NEXT(r, mw) NEXT(t, mh)
    i64 row = sh * (mh - 1 - t) + u, column = sw * (mw - 1 - r) + v;
    bool inside = row < kh && column < kw;
    out[i] = inside ? weight[((a * C + c) * kh + row) * kw + column] : (REAL)0;
}

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

// -log p(x) of one pixel, and its slope by eta.
struct Pixel {
    REAL value, slope;
};

__device__ Pixel bernoulli(REAL l, REAL x) {
    return {(l > 0 ? l : (REAL)0) - x * l + log_part(l), logistic(l) - x};
}

// What a product does with its result where that is eta: add the values, and keep the slopes alone.
template <Pixel PIXEL(REAL, REAL)>
struct Nll {
    enum { SUMS = false };
    const REAL *x;
    i64 x_ld;
    REAL scale, *deta;
    i64 ld;
    double value;
    __device__ void operator()(i64 r, i64 c, REAL eta) {
        Pixel pixel = PIXEL(eta, x[r * x_ld + c]);
        value += pixel.value;
        deta[r * ld + c] = pixel.slope * scale;
    }
    __device__ void row(i64, REAL) {}
};

// A likelihood that knows each pixel by itself: in a pass over eta, or as the end of the product
// that makes eta. `sums` and `counter` are the product's, `partials` and `arrived` the value's.
#define LIKELIHOOD(name)                                                                          \
    extern "C" __global__ void name##_nll(i64 rows, i64 columns, const REAL *eta, i64 eta_ld,     \
                                          const REAL *x, i64 x_ld, double scale, REAL *deta,      \
                                          i64 deta_ld, double *partials, unsigned *arrived,       \
                                          double *out) {                                          \
        Nll<name> end{x, x_ld, (REAL)scale, deta, deta_ld, 0};                                    \
        for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < rows * columns;                 \
             i += gridDim.x * THREADS) {                                                          \
            i64 r = i / (unsigned)columns, c = i % (unsigned)columns;                             \
            end(r, c, eta[r * eta_ld + c]);                                                       \
        }                                                                                         \
        grid_sum(end.value, scale, blockIdx.x, gridDim.x, partials, arrived, out);                \
    }                                                                                             \
    PRODUCT_NLL(name, 2)                                                                          \
    PRODUCT_NLL(name, 4)

#define PRODUCT_NLL(name, R)                                                                      \
    extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT(R)) name##_product_##R(        \
        i64 m, i64 n, i64 k, const REAL *a, const REAL *weight, const REAL *bias, i64 splits,     \
        i64 chunk, REAL *sums, unsigned *counter, const REAL *x, double scale, REAL *deta,        \
        double *partials, unsigned *arrived, double *out) {                                       \
        const i64 tile = (i64)blockIdx.y * gridDim.x + blockIdx.x;                                \
        Nll<name> end{x, n, (REAL)scale, deta, n, 0};                                             \
        if (product<R>(blockIdx.y, blockIdx.x, blockIdx.z, tile, m, n, k, a, k, 1, weight, 1, k,  \
                       bias, splits, chunk, sums, counter, end))                                  \
            grid_sum(end.value, scale, tile, gridDim.x * gridDim.y, partials, arrived, out);      \
    }

LIKELIHOOD(bernoulli)

// As log_normaliser of parts/continuous_bernoulli.py: A(l) less x l, and A'(l) less x.
__device__ Pixel continuous_bernoulli(REAL l, REAL x) {
    const REAL a = fabs(l);
    if (a < 1) {  // the series of coth y - 1/y and of its integral, y = l/2
        const double terms[] = {1.0 / 3, -1.0 / 45, 2.0 / 945, -1.0 / 4725, 2.0 / 93555,
                                -1382.0 / 638512875, 4.0 / 18243225, -3617.0 / 162820783125,
                                87734.0 / 38979295480125, -349222.0 / 1531329465290625};
        const REAL y = (REAL)0.5 * l, squared = y * y;
        REAL slope = 0, value = 0;
#pragma unroll
        for (int n = sizeof(REAL) == 4 ? 6 : 10; n > 0; n--) {
            slope = slope * squared + (REAL)terms[n - 1];
            value = value * squared + (REAL)(terms[n - 1] / (2 * n));
        }
        return {y + squared * value - x * l, (REAL)0.5 + (REAL)0.5 * y * slope - x};
    }
    const REAL e = exp(-a), u = 1 - e, mean = 1 / a - e / u;  // A'(-a), and A'(a) = 1 - A'(-a)
    return {(l > 0 ? l : (REAL)0) + log(u / a) - x * l, (l > 0 ? 1 - mean : mean) - x};
}

LIKELIHOOD(continuous_bernoulli)

FORWARD(continuous_bernoulli_mean, continuous_bernoulli(x, 0).slope)

// log p of each pixel, and its slope times dlog_p.
extern "C" __global__ void continuous_bernoulli_each(i64 rows, i64 columns, const REAL *eta,
                                                     i64 eta_ld, const REAL *x, i64 x_ld,
                                                     double dlog_p, REAL *deta, i64 deta_ld,
                                                     REAL *log_p, i64 log_p_ld) {
    ELEMENT
    Pixel pixel = continuous_bernoulli(eta[r * eta_ld + c], x[r * x_ld + c]);
    log_p[r * log_p_ld + c] = -pixel.value;
    deta[r * deta_ld + c] = -pixel.slope * (REAL)dlog_p;
}

// Gaussian pixels with one variance: log p of each image, the slopes times dlog_p (of each image
// where dlog_p_at is given), and the sum of dlog_p log p. What has no place to go is left out.
extern "C" __global__ void gaussian(i64 rows, i64 columns, const REAL *eta, i64 eta_ld,
                                    const REAL *x, i64 x_ld, const REAL *logvar, double dlog_p,
                                    const REAL *dlog_p_at, REAL *log_p, REAL *deta, i64 deta_ld,
                                    REAL *dlogvar_rows, double *partials, unsigned *arrived,
                                    double *out) {
    const double log_2pi = 1.8378770664093454836, v = *logvar, precision = exp(-v);
    double value = 0;
    for (i64 b = blockIdx.x; b < rows; b += gridDim.x) {
        const double weight = dlog_p_at ? (double)dlog_p_at[b] : dlog_p;
        double squares = 0;
        for (i64 c = threadIdx.x; c < columns; c += THREADS) {
            REAL r = x[b * x_ld + c] - eta[b * eta_ld + c];
            squares += (double)r * r;
            if (deta) deta[b * deta_ld + c] = r * (REAL)(precision * weight);
        }
        squares = block_sum(squares) * precision;
        if (threadIdx.x > 0) continue;
        const double mine = -0.5 * (squares + columns * (v + log_2pi));
        value += weight * mine;
        if (log_p) log_p[b] = (REAL)mine;
        if (dlogvar_rows) dlogvar_rows[b] = (REAL)(0.5 * weight * (squares - columns));
    }
    if (out) grid_sum(value, 1, blockIdx.x, gridDim.x, partials, arrived, out);
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
    grid_sum(value, 0.5 * scale, blockIdx.x, gridDim.x, partials, arrived, out);
}

// One block a row, of which `times` in turn are of an image; where `slopes` are given, they become
// x - sigmoid(l).
extern "C" __global__ void bernoulli_log_likelihood(i64 columns, i64 times, const REAL *logits,
                                                    i64 logits_ld, const REAL *x, i64 x_ld,
                                                    REAL *out, REAL *slopes, i64 slopes_ld) {
    const REAL *l = logits + blockIdx.x * logits_ld, *p = x + blockIdx.x / times * x_ld;
    double value = 0;
    for (i64 c = threadIdx.x; c < columns; c += THREADS) {
        value += p[c] * l[c] - (l[c] > 0 ? l[c] : (REAL)0) - log_part(l[c]);
        if (slopes) slopes[blockIdx.x * slopes_ld + c] = p[c] - sigmoid_of(l[c]);
    }
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

// --- Rows: repeated, summed, weighed -------------------------------------------------------------

extern "C" __global__ void repeat_rows(i64 rows, i64 columns, i64 times, const REAL *x, i64 x_ld,
                                       REAL *out, i64 out_ld) {
    ELEMENT
    out[r * out_ld + c] = x[r / times * x_ld + c];
}

extern "C" __global__ void join_rows(i64 rows, i64 columns, i64 times, const REAL *x, i64 x_ld,
                                     REAL *out, i64 out_ld) {
    ELEMENT
    double sum = 0;
    for (i64 k = 0; k < times; k++) sum += x[(r * times + k) * x_ld + c];
    out[r * out_ld + c] = (REAL)sum;
}

// out_r = factor * sum_c term_rc: a warp for each row.
#define ROW_SUM(factor, term)                                                                     \
    const i64 r = ((i64)blockIdx.x * THREADS + threadIdx.x) / 32;                                 \
    if (r >= rows) return;                                                                        \
    double sum = 0;                                                                               \
    for (i64 c = threadIdx.x % 32; c < columns; c += 32) sum += term;                             \
    sum = warp_sum(sum);                                                                          \
    if (threadIdx.x % 32 == 0) out[r] = (REAL)(factor * sum);

extern "C" __global__ void sum_rows(i64 rows, i64 columns, const REAL *x, i64 ld, REAL *out) {
    ROW_SUM(1, x[r * ld + c])
}

// Of N(0, 1) where no logvar is given.
extern "C" __global__ void normal_log_density(i64 rows, i64 columns, const REAL *z, i64 z_ld,
                                              const REAL *logvar, i64 logvar_ld, REAL *out) {
    const double log_2pi = 1.8378770664093454836;
    ROW_SUM(-0.5, (double)z[r * z_ld + c] * z[r * z_ld + c] + log_2pi +
                      (logvar ? (double)logvar[r * logvar_ld + c] : 0))
}

// out = factor x, times w of each row where weights are given; with `add`, out grows by that.
extern "C" __global__ void weigh_rows(i64 rows, i64 columns, const REAL *x, i64 x_ld,
                                      const REAL *weights, double factor, i64 add, REAL *out,
                                      i64 out_ld) {
    ELEMENT
    REAL value = (REAL)factor * x[r * x_ld + c];
    if (weights) value *= weights[r];
    out[r * out_ld + c] = add ? out[r * out_ld + c] + value : value;
}

// --- Importance-weighted bounds ------------------------------------------------------------------

extern "C" __global__ void gaussian_score(i64 rows, i64 columns, const REAL *eps, i64 eps_ld,
                                          const REAL *logvar, i64 logvar_ld, REAL *out,
                                          i64 out_ld) {
    ELEMENT
    out[r * out_ld + c] = -eps[r * eps_ld + c] * exp((REAL)-0.5 * logvar[r * logvar_ld + c]);
}

extern "C" __global__ void log_base_backward(i64 rows, i64 columns, const REAL *dlog_q, REAL *dmu,
                                             i64 dmu_ld, REAL *dlogvar, i64 dlogvar_ld) {
    ELEMENT
    dmu[r * dmu_ld + c] = 0;
    dlogvar[r * dlogvar_ld + c] = dlog_q ? (REAL)-0.5 * dlog_q[r] : (REAL)0;
}

// A warp passes the K draws of an image: its first pass finds the largest log w, so that no other
// overflows, the second their sum, the third makes shares and slopes. Without v it makes -nll and
// kl of each image instead. All in doubles; beta as in `gaussian_kl`.
extern "C" __global__ void importance(i64 images, i64 samples, const REAL *log_p,
                                      const REAL *log_prior, const REAL *log_q, double beta,
                                      const double *beta_at, double scale, REAL *v, REAL *dlog_p,
                                      REAL *dlog_prior, REAL *dlog_q, REAL *log_p_each,
                                      REAL *kl_each, double *partials, unsigned *arrived,
                                      double *nll, double *kl) {
    if (beta_at) beta = *beta_at;
    const int lane = threadIdx.x % 32;
    double sums[2] = {0, 0};  // over the images: of log 1/K sum_k w_k, and of the log ratios
    for (i64 b = ((i64)blockIdx.x * THREADS + threadIdx.x) / 32; b < images;
         b += gridDim.x * (THREADS / 32)) {
        const i64 at = b * samples;
        double top = log_p[at] + beta * ((double)log_prior[at] - log_q[at]), ratios = 0, total = 0;
        for (i64 k = at + lane; k < at + samples; k += 32) {
            const double ratio = (double)log_prior[k] - log_q[k], log_w = log_p[k] + beta * ratio;
            ratios += ratio;
            if (log_w > top) top = log_w;
        }
        top = warp_max(top);
        for (i64 k = at + lane; k < at + samples; k += 32)
            total += exp(log_p[k] + beta * ((double)log_prior[k] - log_q[k]) - top);
        ratios = warp_sum(ratios);
        total = warp_sum(total);
        const double bound = top + log(total / samples);
        if (v) {
            for (i64 k = at + lane; k < at + samples; k += 32) {
                const double log_w = log_p[k] + beta * ((double)log_prior[k] - log_q[k]);
                const double share = exp(log_w - top) / total;
                v[k] = (REAL)share;
                dlog_p[k] = (REAL)(-scale * share);
                dlog_prior[k] = (REAL)(-scale * beta * share);
                dlog_q[k] = (REAL)(scale * beta * share);
            }
        } else if (lane == 0) {
            kl_each[b] = (REAL)(-ratios / samples);
            log_p_each[b] = (REAL)(bound - beta * ratios / samples);
        }
        if (lane == 0) sums[0] += bound, sums[1] += ratios;
    }
    if (v && grid_sums(sums, blockIdx.x, gridDim.x, partials, arrived) && threadIdx.x == 0) {
        *kl = -scale / samples * sums[1];
        *nll = -scale * sums[0] - beta * *kl;
    }
}

// --- Adam: the whole vector in one launch --------------------------------------------------------

__device__ void adam_update(REAL g, REAL &theta, REAL &m, REAL &v, REAL beta1, REAL beta2,
                            REAL rate, REAL floor) {
    REAL first = beta1 * m + g, second = beta2 * v + g * g;
    m = first;
    v = second;
    theta -= rate * (first / (sqrt(second) + floor));
}

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
    adam_update(grad[i], theta[i], m[i], v[i], beta1, beta2, rate, floor);
}

// Which numbers describe a layer to `middle_forward`, `middle_backward` and `gradients`: pointers
// to its weight and bias, to what it makes (after ReLU, where that follows) and to the slope by
// what it makes before it; to its input; its two widths; where in theta weight and bias are; its
// first block in `gradients`, and how many tiles lie side by side there.
enum { WEIGHT, BIAS, MADE, SLOPE, INPUT, INPUTS, OUTPUTS, WEIGHT_AT, BIAS_AT, BLOCK, ACROSS, FIELDS };

// What `gradients` does with dW and db: it keeps them, and moves the parameters.
struct Update {
    enum { SUMS = true };
    REAL *theta, *grad, *m, *v;
    i64 weight, bias, ld;
    REAL beta1, beta2, rate, floor;
    __device__ void move(i64 i, REAL g) {
        grad[i] = g;
        adam_update(g, theta[i], m[i], v[i], beta1, beta2, rate, floor);
    }
    __device__ void operator()(i64 r, i64 c, REAL value) { move(weight + r * ld + c, value); }
    __device__ void row(i64 r, REAL value) { move(bias + r, value); }
};

// All dW = dy^T x, all db and Adam, in one launch: each block makes one tile of one layer's dW.
#define GRADIENTS(R)                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT(R)) gradients_##R(             \
        i64 rows, i64 layers, const i64 *table, REAL *theta, REAL *grad, REAL *m, REAL *v,        \
        const double *constants) {                                                                \
        __shared__ i64 mine[FIELDS];                                                              \
        for (i64 l = threadIdx.x; l < layers; l += THREADS) {                                     \
            const i64 *layer = table + l * FIELDS;                                                \
            if (blockIdx.x >= layer[BLOCK] &&                                                     \
                (l + 1 == layers || blockIdx.x < layer[FIELDS + BLOCK]))                          \
                for (int f = 0; f < FIELDS; f++) mine[f] = layer[f];                              \
        }                                                                                         \
        __syncthreads();                                                                          \
        const i64 inputs = mine[INPUTS], outputs = mine[OUTPUTS], b = blockIdx.x - mine[BLOCK];   \
        Update end{theta, grad, m, v, mine[WEIGHT_AT], mine[BIAS_AT], inputs,                     \
                   (REAL)constants[0], (REAL)constants[1], (REAL)constants[2],                    \
                   (REAL)constants[3]};                                                           \
        product<R>(b / mine[ACROSS], b % mine[ACROSS], 0, 0, outputs, inputs, rows,               \
                   (const REAL *)mine[SLOPE], 1, outputs, (const REAL *)mine[INPUT], inputs, 1,   \
                   nullptr, 1, rows, nullptr, nullptr, end);                                      \
    }
GRADIENTS(2)
GRADIENTS(4)

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
__device__ void end_step(double *state, i64 images, const double *nll, const double *kl) {
    state[NLL_SUM] += *nll * images;
    state[KL_SUM] += *kl * images;
    state[CURSOR] += images;
    double step = state[STEP] += 1;
    double a = (1 - state[BETA1]) / (1 - pow(state[BETA1], step));
    double c = sqrt((1 - state[BETA2]) / (1 - pow(state[BETA2], step)));
    state[RATE] = state[LR] * a / c;
    state[FLOOR] = state[EPS] / c;
}

extern "C" __global__ void finish(double *state, i64 images, const double *nll, const double *kl) {
    end_step(state, images, nll, kl);
}

// --- The middle of a step: what lies between its three large products ----------------------------

// Each block passes ROWS images through all the layers but the first and the last, whose weights
// it reads once. `table` describes the encoder's layers from its first on, which is not passed here,
// then the decoder's up to its last but one.

// One number of each of the block's images: those of a unit, or of a pixel.
template <int ROWS>
struct __align__(ROWS == 2 ? 2 * sizeof(REAL) : 16) Unit {
    REAL of[ROWS];
};

#define WIDEST(ROWS) (2048 / ROWS)  // units of a layer in between

// y = x W^T + b for the block's rows. A warp makes four outputs at a time: its threads share the
// depth, then add up: half of the threads go on with half of the sums, until each has one, or four
// or two of them have one together.
template <int ROWS>
__device__ void forward_rows(const i64 *layer, bool relu, const Unit<ROWS> *x, Unit<ROWS> *y,
                             i64 first, i64 rows) {
    const int SUMS = 4 * ROWS, SHARE = 32 / SUMS;
    const int inputs = layer[INPUTS], outputs = layer[OUTPUTS], lane = threadIdx.x % 32;
    const REAL *weight = (const REAL *)layer[WEIGHT], *bias = (const REAL *)layer[BIAS];
    REAL *made = (REAL *)layer[MADE];
    for (int o = threadIdx.x / 32 * 4; o < outputs; o += THREADS / 32 * 4) {
        REAL sum[SUMS];
#pragma unroll
        for (int q = 0; q < SUMS; q++) sum[q] = 0;
#pragma unroll 4
        for (int i = lane; i < inputs; i += 32) {
            const Unit<ROWS> unit = x[i];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                REAL w = o + j < outputs ? weight[(i64)(o + j) * inputs + i] : (REAL)0;
#pragma unroll
                for (int r = 0; r < ROWS; r++) sum[j * ROWS + r] += w * unit.of[r];
            }
        }
#pragma unroll
        for (int step = 0; step < 5; step++) {
            const int bit = 16 >> step, half = SUMS / 2 >> step;
            if (half == 0) sum[0] += __shfl_xor_sync(~0u, sum[0], bit);
#pragma unroll
            for (int q = 0; q < SUMS / 2; q++) {
                if (q >= half) continue;  // and not in the loop's head: it is to be unrolled
                REAL mine = lane & bit ? sum[q + half] : sum[q];
                REAL other = lane & bit ? sum[q] : sum[q + half];
                sum[q] = mine + __shfl_xor_sync(~0u, other, bit);
            }
        }
        const int q = lane / SHARE, r = q % ROWS, c = o + q / ROWS;
        if (lane % SHARE == 0 && c < outputs) {
            REAL value = sum[0] + bias[c];
            if (relu) value = relu_of(value);
            y[c].of[r] = value;
            if (first + r < rows) made[(first + r) * outputs + c] = value;
        }
    }
    __syncthreads();
}

// The block's rows of a matrix; zeros beyond its last.
template <int ROWS>
__device__ void read_rows(const REAL *matrix, i64 width, Unit<ROWS> *to, i64 first, i64 rows) {
    for (i64 c = threadIdx.x; c < width; c += THREADS)
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            to[c].of[r] = first + r < rows ? matrix[(first + r) * width + c] : (REAL)0;
    __syncthreads();
}

template <int ROWS>
__device__ void middle_forward(i64 rows, i64 latent, i64 encoder, i64 decoder, const i64 *table,
                               const REAL *eps, REAL *noise, REAL *z, double scale,
                               double *partials, unsigned *arrived, double *kl) {
    __shared__ Unit<ROWS> one[WIDEST(ROWS)], two[WIDEST(ROWS)];
    Unit<ROWS> *from = one, *to = two, *old;
    const i64 first = (i64)blockIdx.x * ROWS;
    read_rows((const REAL *)table[MADE], table[OUTPUTS], from, first, rows);
    for (i64 l = 1; l < encoder; l++) {
        forward_rows(table + l * FIELDS, l + 1 < encoder, from, to, first, rows);
        old = from, from = to, to = old;
    }
    double value = 0;
    for (i64 e = threadIdx.x; e < ROWS * latent; e += THREADS) {
        i64 r = e / latent, c = e % latent, at = (first + r) * latent + c;
        if (first + r >= rows) {
            to[c].of[r] = 0;
            continue;
        }
        REAL u = from[c].of[r], v = from[latent + c].of[r];
        REAL n = exp((REAL)0.5 * v) * eps[at];
        noise[at] = n;
        z[at] = to[c].of[r] = u + n;
        value += (double)(u * u) + (double)(expm1(v) - v);
    }
    __syncthreads();
    old = from, from = to, to = old;
    for (i64 l = encoder; l < encoder + decoder; l++) {
        forward_rows(table + l * FIELDS, true, from, to, first, rows);
        old = from, from = to, to = old;
    }
    grid_sum(value, 0.5 * scale, blockIdx.x, gridDim.x, partials, arrived, kl);
}

// dx = dy W for the block's rows. A thread has one column of W; where there are fewer columns than
// threads, groups of them share the rows of W, and their sums are added in order.
template <int ROWS>
__device__ void backward_rows(const i64 *layer, const Unit<ROWS> *dy, Unit<ROWS> *dx) {
    __shared__ Unit<ROWS> parts[THREADS];
    const int inputs = layer[INPUTS], outputs = layer[OUTPUTS], t = threadIdx.x;
    for (int start = 0; start < inputs; start += THREADS) {
        const int width = inputs - start < THREADS ? inputs - start : THREADS;
        const int groups = THREADS / width, group = t / width;
        const REAL *weight = (const REAL *)layer[WEIGHT] + start + t % width;
        Unit<ROWS> sum;
#pragma unroll
        for (int r = 0; r < ROWS; r++) sum.of[r] = 0;
        if (group < groups)
#pragma unroll 16
            for (int o = group; o < outputs; o += groups) {
                const REAL w = weight[(i64)o * inputs];
                const Unit<ROWS> unit = dy[o];
#pragma unroll
                for (int r = 0; r < ROWS; r++) sum.of[r] += unit.of[r] * w;
            }
        parts[t] = sum;
        __syncthreads();
        for (int e = t; e < ROWS * width; e += THREADS) {
            const int r = e % ROWS, c = e / ROWS;
            REAL total = 0;
            for (int g = 0; g < groups; g++) total += parts[g * width + c].of[r];
            dx[start + c].of[r] = total;
        }
        __syncthreads();
    }
}

// Pass dx, the slope by what a layer made after ReLU, through ReLU: dy, which the layer keeps.
template <int ROWS>
__device__ void relu_rows(const i64 *layer, Unit<ROWS> *dx, i64 first, i64 rows) {
    const i64 width = layer[OUTPUTS];
    const REAL *made = (const REAL *)layer[MADE];
    REAL *slope = (REAL *)layer[SLOPE];
    for (i64 c = threadIdx.x; c < width; c += THREADS)
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const i64 at = (first + r) * width + c;
            if (first + r < rows) slope[at] = dx[c].of[r] = relu_backward_of(made[at], dx[c].of[r]);
        }
    __syncthreads();
}

// The last block ends the step meanwhile, as `finish` does.
template <int ROWS>
__device__ void middle_backward(i64 rows, i64 latent, i64 encoder, i64 decoder, const i64 *table,
                                const REAL *noise, double scale, double *state, const double *nll,
                                const double *kl) {
    __shared__ Unit<ROWS> one[WIDEST(ROWS)], two[WIDEST(ROWS)];
    if (blockIdx.x == gridDim.x - 1) {
        if (threadIdx.x == 0) end_step(state, rows, nll, kl);
        return;
    }
    Unit<ROWS> *from = one, *to = two, *old;
    const i64 first = (i64)blockIdx.x * ROWS;
    const i64 *last = table + (encoder + decoder - 1) * FIELDS;
    read_rows((const REAL *)last[SLOPE], last[OUTPUTS], from, first, rows);
    for (i64 l = encoder + decoder - 1; l >= encoder; l--) {
        backward_rows(table + l * FIELDS, from, to);
        if (l > encoder) relu_rows(table + (l - 1) * FIELDS, to, first, rows);
        old = from, from = to, to = old;
    }
    const i64 *stats = table + (encoder - 1) * FIELDS;
    const REAL *made = (const REAL *)stats[MADE];
    REAL *dstats = (REAL *)stats[SLOPE];
    const double beta = state[BETA];
    const REAL slope = (REAL)(beta * scale), half = (REAL)(0.5 * beta * scale);
    for (i64 e = threadIdx.x; e < ROWS * latent; e += THREADS) {
        i64 r = e / latent, c = e % latent, at = (first + r) * 2 * latent + c;
        if (first + r >= rows) {
            to[c].of[r] = to[latent + c].of[r] = 0;
            continue;
        }
        REAL u = made[at], v = made[at + latent];
        REAL d = from[c].of[r], n = noise[(first + r) * latent + c];
        dstats[at] = to[c].of[r] = u * slope + d;
        dstats[at + latent] = to[latent + c].of[r] = expm1(v) * half + (REAL)0.5 * d * n;
    }
    __syncthreads();
    old = from, from = to, to = old;
    for (i64 l = encoder - 1; l > 0; l--) {
        backward_rows(table + l * FIELDS, from, to);
        relu_rows(table + (l - 1) * FIELDS, to, first, rows);
        old = from, from = to, to = old;
    }
}

#define MIDDLE(ROWS)                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS) middle_forward_##ROWS(                  \
        i64 rows, i64 latent, i64 encoder, i64 decoder, const i64 *table, const REAL *eps,        \
        REAL *noise, REAL *z, double scale, double *partials, unsigned *arrived, double *kl) {    \
        middle_forward<ROWS>(rows, latent, encoder, decoder, table, eps, noise, z, scale,         \
                             partials, arrived, kl);                                              \
    }                                                                                             \
    extern "C" __global__ void __launch_bounds__(THREADS) middle_backward_##ROWS(                 \
        i64 rows, i64 latent, i64 encoder, i64 decoder, const i64 *table, const REAL *noise,      \
        double scale, double *state, const double *nll, const double *kl) {                       \
        middle_backward<ROWS>(rows, latent, encoder, decoder, table, noise, scale, state, nll,    \
                              kl);                                                                \
    }
MIDDLE(2)
MIDDLE(4)
MIDDLE(8)
