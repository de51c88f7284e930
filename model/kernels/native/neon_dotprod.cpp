// For Arm with dot products; compiled with the flags for it (`pyproject.toml`).
#include "kernels.h"
