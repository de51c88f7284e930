// The instruction sets that this processor has and the system enables. Compiled for every processor.

#include <cstring>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

extern "C" int kakehashi_has(const char* isa) {
#if defined(__x86_64__)
    // These builtins read cpuid, and xgetbv for the registers that the system saves.
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (!std::strcmp(isa, "avx2")) return has_avx2;
    if (!std::strcmp(isa, "avx_vnni")) return has_avx2 && __builtin_cpu_supports("avxvnni");
    if (!std::strcmp(isa, "avx512_vnni"))
        return has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    if (!std::strcmp(isa, "neon_dotprod")) return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
    return !std::strcmp(isa, "scalar");
}
