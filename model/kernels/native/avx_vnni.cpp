// For x86-64 with AVX-VNNI; compiled with the flags for it (`pyproject.toml`).
#include "kernels.h"
