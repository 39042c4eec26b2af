"""What /proc/cpuinfo and sysctl of real machines say, and what this one says."""

import os
import platform
from pathlib import Path

import pytest

from edgefake_runtime.cpu import Cpu, cores, parse_cpuinfo, parse_sysctl, processor, read_cpu

RASPBERRY_PI_4 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

processor\t: 1
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

Revision\t: c03112
Serial\t\t: 0000000000000000
Model\t\t: Raspberry Pi 4 Model B Rev 1.2
"""

RASPBERRY_PI_5 = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

Revision\t: d04170
Serial\t\t: 0000000000000000
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""

ROCK_5B = """\
processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd05

processor\t: 4
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""

EPYC = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC
stepping\t: 1
cpu MHz\t\t: 2596.120
cache size\t: 1024 KB
flags\t\t: fpu vme de pse tsc msr sse sse2 ht syscall ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c \
rdrand hypervisor avx2 bmi2 avx512f avx512dq avx512bw avx512vl avx_vnni avx512_bf16 avx512vbmi gfni avx512_vnni
bogomips\t: 5192.24

processor\t: 1
model name\t: AMD EPYC
flags\t\t: fpu sse4_1 avx2 avx512f avx_vnni avx512_bf16 avx512_vnni
"""


def test_a_raspberry_pi_4_has_neon_and_no_dot_products() -> None:
    assert parse_cpuinfo(RASPBERRY_PI_4, "aarch64") == ("Cortex-A72 (Raspberry Pi 4 Model B Rev 1.2)", ("NEON",))


def test_a_raspberry_pi_5_has_dot_products() -> None:
    name, features = parse_cpuinfo(RASPBERRY_PI_5, "aarch64")
    assert name == "Cortex-A76 (Raspberry Pi 5 Model B Rev 1.0)"
    assert features == ("NEON", "fp16", "dotprod")


def test_an_epyc_has_what_its_flags_say() -> None:
    expected = ("AVX2", "AVX512", "AVX512-VNNI", "AVX-VNNI", "AVX512-BF16")
    assert parse_cpuinfo(EPYC, "x86_64") == ("AMD EPYC", expected)


def test_big_and_little_cores_are_both_named() -> None:
    assert parse_cpuinfo(ROCK_5B, "aarch64")[0] == "Cortex-A55 and Cortex-A76"


def test_newer_arm_cores_have_i8mm_and_sve() -> None:
    text = "Features\t: fp asimd asimdhp asimddp sve i8mm bf16 sve2\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n"
    expected = ("NEON", "fp16", "dotprod", "i8mm", "bf16", "SVE", "SVE2")
    assert parse_cpuinfo(text, "aarch64") == ("Neoverse-V2", expected)
    unknown = text.replace("0x41", "0xc0").replace("0xd4f", "0xac3")
    assert parse_cpuinfo(unknown, "aarch64")[0] == "Arm implementer 0xc0 part 0xac3"


def test_the_flags_of_an_emulator_s_host_do_not_count() -> None:
    assert parse_cpuinfo(EPYC, "aarch64") == ("", ())
    assert parse_cpuinfo(RASPBERRY_PI_5, "x86_64") == ("", ())


def test_sse_is_named_where_there_is_nothing_newer() -> None:
    text = "model name\t: Intel(R) Celeron(R) CPU N3350 @ 1.10GHz\nflags\t: fpu sse4_1 sse4_2\n"
    assert parse_cpuinfo(text, "x86_64") == ("Intel(R) Celeron(R) CPU N3350 @ 1.10GHz", ("SSE4.1",))


@pytest.mark.parametrize("text", ["", "\n\n", "Features", "CPU part\t: x\n", ": :\n:"])
def test_what_says_nothing_is_no_error(text: str) -> None:
    name, features = parse_cpuinfo(text, "aarch64")
    assert isinstance(name, str)
    assert features == ()


def test_macos_says_it_by_sysctl() -> None:
    text = "machdep.cpu.brand_string: Apple M2\nhw.optional.AdvSIMD: 1\nhw.optional.arm.FEAT_DotProd: 1\n"
    text += "hw.optional.arm.FEAT_I8MM: 1\nhw.optional.arm.FEAT_SME: 0\nhw.optional.floatingpoint: 1\n"
    assert parse_sysctl(text) == ("Apple M2", ("NEON", "dotprod", "i8mm"))
    intel = "machdep.cpu.brand_string: Intel(R) Core(TM) i7\nhw.optional.avx2_0: 1\nhw.optional.avx512f: 0\n"
    assert parse_sysctl(intel) == ("Intel(R) Core(TM) i7", ("AVX2",))


def test_it_is_said_on_one_line() -> None:
    cpu = Cpu("Cortex-A76", "aarch64", 4, ("NEON", "dotprod"))
    assert str(cpu) == "Cortex-A76, 4 cores, aarch64: NEON, dotprod"
    assert str(Cpu("unknown", "riscv64", 1, ())) == "unknown, 1 core, riscv64: no features known"


def test_this_machine_s_cpu_has_a_name_and_cores() -> None:
    cpu = read_cpu()
    assert cpu.name == processor() != ""
    assert cpu.machine == platform.machine()
    assert cpu.cores == cores() <= (os.cpu_count() or 1)
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if platform.machine() == "x86_64" and "model name" in info:
        assert f": {cpu.name}\n" in info
        assert ("AVX2" in cpu.features) == (" avx2 " in info)
