// For x86-64 with AVX2 and FMA; compiled with the flags for it (`pyproject.toml`).
#include "kernels.h"
