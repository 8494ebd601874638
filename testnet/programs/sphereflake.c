// Renders one tile of a ray-traced sphereflake (E. Haines, "A Proposal for Standard Graphics
// Environments", 1987): tile OUTCRY_TASK of OUTCRY_TASKS, to /out/tile.ppm.
//
// usage: sphereflake [WIDTH HEIGHT [SAMPLES]]      whole picture in pixels; samples per pixel squared
//
// The tiles form a grid; a comment in the PPM header says where this one belongs.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEVELS = 4, CHILDREN = 9, SPHERES = 1 + 9 + 81 + 729, BOUNCES = 4 };

typedef struct {
    double x, y, z;
} vec;

static vec add(vec a, vec b) { return (vec){a.x + b.x, a.y + b.y, a.z + b.z}; }
static vec sub(vec a, vec b) { return (vec){a.x - b.x, a.y - b.y, a.z - b.z}; }
static vec scale(vec a, double s) { return (vec){a.x * s, a.y * s, a.z * s}; }
static vec mul(vec a, vec b) { return (vec){a.x * b.x, a.y * b.y, a.z * b.z}; }
static double dot(vec a, vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
static vec cross(vec a, vec b) { return (vec){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x}; }
static vec unit(vec a) { return scale(a, 1 / sqrt(dot(a, a))); }
static vec mix(vec a, vec b, double t) { return add(scale(a, 1 - t), scale(b, t)); }

// Spheres in depth-first order; a ray that misses the ball around a sphere and all its descendants
// goes on at `next`.
typedef struct {
    vec centre;
    double radius, ball;
    int next, level;
} sphere;

static sphere spheres[SPHERES];
static int count;

static void grow(vec centre, vec axis, double radius, int level) {
    int self = count++;
    spheres[self] = (sphere){.centre = centre, .radius = radius, .ball = radius * 2.01, .level = level};
    if (level + 1 < LEVELS) {
        vec side = unit(cross(axis, fabs(axis.y) < 0.9 ? (vec){0, 1, 0} : (vec){1, 0, 0}));
        vec front = cross(axis, side);
        for (int i = 0; i < CHILDREN; i++) {
            double height = i < 6 ? -0.15 : 0.82, turn = i < 6 ? i * (M_PI / 3) : (i - 6) * (2 * M_PI / 3) + 0.4;
            double width = sqrt(1 - height * height);
            vec towards = add(scale(axis, height), add(scale(side, width * cos(turn)), scale(front, width * sin(turn))));
            grow(add(centre, scale(towards, radius * 4 / 3)), towards, radius / 3, level + 1);
        }
    }
    spheres[self].next = count;
}

// Distance to a ball, or a negative number; `inside` also accepts a ray that starts within it.
static double hit(vec from, vec to, vec centre, double radius) {
    vec offset = sub(from, centre);
    double b = dot(offset, to), c = dot(offset, offset) - radius * radius, d = b * b - c;
    if (d < 0) return -1;
    double near = -b - sqrt(d);
    return near > 1e-6 ? near : c < 0 ? 0 : -1;
}

static int nearest(vec from, vec to, double *distance) {
    int best = -1;
    *distance = 1e9;
    for (int i = 0; i < count;) {
        double ball = hit(from, to, spheres[i].centre, spheres[i].ball);
        if (ball < 0 || ball > *distance) {
            i = spheres[i].next;
            continue;
        }
        double d = hit(from, to, spheres[i].centre, spheres[i].radius);
        if (d > 1e-6 && d < *distance) {
            *distance = d;
            best = i;
        }
        i++;
    }
    return best;
}

static const vec sun = {0.42, 0.68, -0.6};

static vec sky(vec to) {
    double up = to.y > 0 ? to.y : 0, glow = dot(to, unit(sun));
    vec colour = mix((vec){0.98, 0.72, 0.52}, (vec){0.10, 0.18, 0.42}, sqrt(up));
    return glow > 0 ? add(colour, scale((vec){1, 0.8, 0.5}, pow(glow, 60) * 0.6)) : colour;
}

static vec trace(vec from, vec to) {
    static const vec tints[LEVELS] = {{0.95, 0.80, 0.45}, {0.90, 0.42, 0.30}, {0.35, 0.62, 0.90}, {0.80, 0.92, 0.85}};
    vec seen = {0, 0, 0}, weight = {1, 1, 1};
    for (int bounce = 0; bounce < BOUNCES; bounce++) {
        double distance;
        int index = nearest(from, to, &distance);
        double ground = to.y < -1e-9 ? (-1 - from.y) / to.y : -1;
        vec tint, normal;
        double mirror;
        if (ground > 1e-6 && ground < distance) {
            distance = ground;
            vec at = add(from, scale(to, distance));
            int dark = ((int)floor(at.x) + (int)floor(at.z)) & 1;
            tint = mix(dark ? (vec){0.10, 0.12, 0.16} : (vec){0.75, 0.74, 0.70}, sky(to), 1 - exp(-distance * 0.045));
            normal = (vec){0, 1, 0};
            mirror = 0.18;
        } else if (index >= 0) {
            tint = tints[spheres[index].level];
            normal = unit(sub(add(from, scale(to, distance)), spheres[index].centre));
            mirror = 0.45;
        } else {
            return add(seen, mul(weight, sky(to)));
        }
        vec at = add(add(from, scale(to, distance)), scale(normal, 1e-5)), light = unit(sun);
        double shade = dot(normal, light), unused, shine = 0;
        if (shade < 0 || nearest(at, light, &unused) >= 0) {
            shade = 0;
        } else {
            double along = dot(sub(scale(normal, 2 * shade), light), scale(to, -1));
            shine = along > 0 ? pow(along, 40) : 0;
        }
        vec local = add(scale(tint, 0.16 + 0.84 * shade), (vec){shine, shine, shine});
        seen = add(seen, mul(weight, scale(local, 1 - mirror)));
        weight = scale(mul(weight, tint), mirror);
        to = sub(to, scale(normal, 2 * dot(to, normal)));
        from = at;
    }
    return seen;
}

static unsigned char tone(double light) {
    double mapped = pow(light / (1 + 0.25 * light), 1 / 2.2) * 255 + 0.5;
    return mapped < 0 ? 0 : mapped > 255 ? 255 : (unsigned char)mapped;
}

static long number(const char *text, long otherwise) {
    long value = text ? strtol(text, NULL, 10) : otherwise;
    return value > 0 ? value : otherwise;
}

int main(int argc, char **argv) {
    const char *task_text = getenv("OUTCRY_TASK");
    long task = task_text ? strtol(task_text, NULL, 10) : 0, tasks = number(getenv("OUTCRY_TASKS"), 1);
    long width = number(argc > 2 ? argv[1] : NULL, 800), height = number(argc > 2 ? argv[2] : NULL, 600);
    long samples = number(argc > 3 ? argv[3] : NULL, 2);
    long rows = (long)sqrt((double)tasks);
    while (tasks % rows) rows--;
    long columns = tasks / rows;
    long left = task % columns * width / columns, right = (task % columns + 1) * width / columns;
    long top = task / columns * height / rows, bottom = (task / columns + 1) * height / rows;

    grow((vec){0, 0.15, 0}, (vec){0, 1, 0}, 1, 0);
    FILE *out = fopen("/out/tile.ppm", "wb");
    if (!out) {
        perror("/out/tile.ppm");
        return 1;
    }
    fprintf(out, "P6\n# tile %ld %ld of %ld %ld\n%ld %ld\n255\n", left, top, width, height, right - left, bottom - top);

    vec eye = {-2.6, 1.35, -3.4}, front = unit(sub((vec){0.05, 0.12, 0}, eye));
    vec side = unit(cross((vec){0, 1, 0}, front)), up = cross(front, side);
    for (long y = top; y < bottom; y++) {
        for (long x = left; x < right; x++) {
            vec sum = {0, 0, 0};
            for (long s = 0; s < samples * samples; s++) {
                double u = (x + (s % samples + 0.5) / samples - width / 2.0) / height;
                double v = (height / 2.0 - y - (s / samples + 0.5) / samples) / height;
                sum = add(sum, trace(eye, unit(add(front, add(scale(side, u), scale(up, v))))));
            }
            sum = scale(sum, 1.0 / (samples * samples));
            unsigned char pixel[3] = {tone(sum.x), tone(sum.y), tone(sum.z)};
            fwrite(pixel, 1, 3, out);
        }
    }
    if (fclose(out) != 0) {
        perror("/out/tile.ppm");
        return 1;
    }
    printf("tile %ld of %ld: %ld x %ld pixels at %ld, %ld\n", task, tasks, right - left, bottom - top, left, top);
    return 0;
}
