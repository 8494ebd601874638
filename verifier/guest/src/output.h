#ifndef OUTCRY_OUTPUT_H
#define OUTCRY_OUTPUT_H
#include <stdint.h>

// Announces that stdout or stderr is about to grow. Both are in every output archive, so if the
// archive cannot stay within the job's output limit any more, the task ends here.
void output_expect(uint32_t growth);
// Writes the output archive: what lies in /out, stderr and stdout, in the order of their paths.
void output_write(void);
#endif
