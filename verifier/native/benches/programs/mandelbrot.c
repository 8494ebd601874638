// The Mandelbrot set: float arithmetic in registers.
#include <stdio.h>

int main(void) {
    int inside = 0;
    const int size = 1200;
    for (int py = 0; py < size; py++)
        for (int px = 0; px < size; px++) {
            double cx = 2.0 * px / size - 1.5, cy = 2.0 * py / size - 1.0, x = 0, y = 0;
            int i = 0;
            for (; i < 200; i++) {
                double xx = x * x, yy = y * y;
                if (xx + yy > 4.0) break;
                y = 2 * x * y + cy;
                x = xx - yy + cx;
            }
            inside += i == 200;
        }
    printf("%d\n", inside);
    return 0;
}
