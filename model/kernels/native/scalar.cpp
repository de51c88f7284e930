// For every processor, without its vectors: slow, and the oracle of the tests.
#define KAKEHASHI_SCALAR
#include "kernels.h"
