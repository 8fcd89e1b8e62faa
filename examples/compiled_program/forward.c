/* Deflection of a stepped cantilever beam under a load at its free end, by Euler-Bernoulli theory.
 *
 *   ./forward HEIGHT_1 HEIGHT_2 HEIGHT_3 HEIGHT_4
 *
 * Takes the heights [m] of four segments of equal length, from the clamped end to the free one.
 * Prints the deflection [mm] at the end of each. Exits with 1 if the beam would yield, with 2 if
 * the arguments are no such heights.
 *
 * E I w'' = M, the bending moment M = P (LENGTH - x), integrated exactly within each segment
 * (Timoshenko, Strength of Materials, part I, chapter V). I = b h^3 / 12; the bending stress at the
 * surface is M (h / 2) / I = 6 M / (b h^2).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SEGMENTS 4

static const double LENGTH = 1.0;        /* [m] */
static const double WIDTH = 0.05;        /* [m] b */
static const double YOUNGS = 70e9;       /* [Pa] E of aluminium */
static const double YIELD = 276e6;       /* [Pa] of 6061-T6 */
static const double LOAD = 200.0;        /* [N] P */

int main(int argc, char **argv)
{
    double step = LENGTH / SEGMENTS, slope = 0.0, deflection = 0.0;

    if (argc != SEGMENTS + 1) {
        fprintf(stderr, "usage: %s followed by %d heights [m]\n", argv[0], SEGMENTS);
        return 2;
    }
    for (int i = 0; i < SEGMENTS; i++) {
        char *end;
        double height = strtod(argv[i + 1], &end);
        if (end == argv[i + 1] || *end != '\0' || !isfinite(height) || height <= 0.0) {
            fprintf(stderr, "%s is no height\n", argv[i + 1]);
            return 2;
        }
        double moment = LOAD * (LENGTH - i * step); /* at the segment's left end, its largest */
        double stiffness = YOUNGS * WIDTH * pow(height, 3) / 12.0;
        if (6.0 * moment / (WIDTH * height * height) > YIELD) {
            fprintf(stderr, "segment %d yields\n", i + 1);
            return 1;
        }
        deflection += slope * step
            + (moment / 2.0 - LOAD * step / 6.0) * step * step / stiffness;
        slope += (moment - LOAD * step / 2.0) * step / stiffness;
        printf("%.17g\n", 1e3 * deflection);
    }
    return 0;
}
