// For every processor, without vector instructions: slow, and the oracle of the tests.
#define KAKEHASHI_SCALAR
#include "kernels.h"
