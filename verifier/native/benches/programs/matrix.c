// Matrix product and a relaxation on a grid, single and double precision, through memory.
#include <stdio.h>

#define N 220
static double a[N][N], b[N][N], c[N][N];
static float grid[2][N][N];

int main(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = i - j * 0.5, b[i][j] = 1.0 / (1 + i + j), grid[0][i][j] = (float)(i ^ j);
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < N; i++)
            for (int k = 0; k < N; k++)
                for (int j = 0; j < N; j++) c[i][j] += a[i][k] * b[k][j];
    for (int round = 0; round < 1500; round++)
        for (int i = 1; i < N - 1; i++)
            for (int j = 1; j < N - 1; j++) {
                float (*from)[N] = grid[round & 1], (*to)[N] = grid[~round & 1];
                to[i][j] = 0.25f * (from[i - 1][j] + from[i + 1][j] + from[i][j - 1] + from[i][j + 1]);
            }
    printf("%.6f %.6f\n", c[N / 2][N / 3], grid[0][N / 2][N / 2]);
    return 0;
}
