"""An aarch64 Debian in a folder, whose programs run here under qemu-user as on a CPU of choice.

Needs Debian's packages mmdebstrap and qemu-user-static, and root. Nothing of the machine changes: what hands aarch64
programs to qemu (binfmt_misc) is registered in a user namespace that ends with the command (Linux 6.7; an older kernel
needs the registration that the package makes when it is installed).
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("python3-venv",)
"""What `python3 -m venv` and pip need; certificates are bound from here."""

REGISTRATION = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
"""How qemu-user-static tells the kernel of itself."""

NAMESPACE = f"""set -e
read -r _
if ! [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]; then
    mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    cat {REGISTRATION} > /proc/sys/fs/binfmt_misc/register
fi
mount -t proc proc /proc
exec "$@" < /dev/null
"""
"""Waits until its users are mapped, then runs its arguments."""

CHROOT = """set -e
root=$1; cpuinfo=$2; shift 2
mount -t proc proc "$root/proc"
mount --bind "$cpuinfo" "$root/proc/cpuinfo"
mount --rbind /dev "$root/dev"
for file in /etc/resolv.conf /etc/ssl/certs; do
    [ -d "$file" ] && mkdir -p "$root$file" || touch "$root$file"
    mount --bind "$file" "$root$file"
done
exec chroot "$root" "$@"
"""
"""Enters the Debian with the name servers and certificates of this machine."""

CPUINFO = {
    "cortex-a72": ("fp asimd evtstrm crc32 cpuid", 0x0, 0xD08, 3),
    "cortex-a76": (
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        *(0x4, 0xD0B, 1),
    ),
}
"""CPU of a board -> what Linux says of it: features, variant, part, revision. Runtimes choose their kernels by that."""

CORES = 4

SYS_CPU = ("possible", "present")
"""What runtimes read of the cores in /sys/devices/system/cpu; the rest, such as this machine's caches, stays away."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

HOME = "root"
"""Folder inside, where commands run."""

PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def cpuinfo(cpu: str) -> str:
    """/proc/cpuinfo of a board with a CPU of `CPUINFO`: qemu-user shows this machine's."""
    features, variant, part, revision = CPUINFO[cpu]
    core = f"BogoMIPS\t: 108.00\nFeatures\t: {features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
    core += f"CPU variant\t: {variant:#x}\nCPU part\t: {part:#x}\nCPU revision\t: {revision}\n"
    return "\n".join(f"processor\t: {number}\n{core}" for number in range(CORES))


class RootError(RuntimeError):
    """The Debian cannot be made, or a command in it failed."""


@dataclass(frozen=True)
class Ran:
    """What a command did.

    Attributes:
        output: standard output and standard error.
        code: its exit code.
        seconds: from start to end.
        peak_mb: largest resident memory of one of its processes, in 10^6 bytes; inside the Debian with qemu's own.
    """

    output: str
    code: int
    seconds: float
    peak_mb: float


def run(command: list[str], *, feed: bool = False, **options: object) -> Ran:
    """Run a command, with its memory; `feed` maps the users of a new namespace first."""
    begun = time.monotonic()
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    stdin = subprocess.PIPE if feed else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=stdin, **piped, **options)  # type: ignore[call-overload]
    if feed:
        _map_users(process)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ran(output, process.returncode, time.monotonic() - begun, usage.ru_maxrss * 1024 / 1e6)


def _map_users(process: "subprocess.Popen[str]") -> None:
    """Give a process that makes a user namespace the same users as here, then let it go on."""
    own = Path("/proc/self/ns/user").readlink()
    place = Path("/proc", str(process.pid))
    while (place / "ns" / "user").readlink() == own:
        if process.poll() is not None:
            raise RootError(f"expected a user namespace, got: {process.stdout.read().strip()}")
        time.sleep(0.01)
    for kind in ("uid_map", "gid_map"):
        (place / kind).write_text("0 0 65536\n")
    process.stdin.write("\n")
    process.stdin.close()


def _in_namespace(command: list[str]) -> Ran:
    unshare = ["unshare", "--user", "--mount", "--pid", "--fork", "--kill-child"]
    return run([*unshare, "sh", "-c", NAMESPACE, "-", *command], feed=True)


def require_tools() -> None:
    """Check for what this module needs.

    Raises:
        RootError: something is missing.
    """
    missing = [name for name in ("mmdebstrap", "unshare", "chroot") if shutil.which(name) is None]
    if missing or not REGISTRATION.exists():
        got = f"no {', '.join(missing)}" if missing else "no qemu-user-static"
        raise RootError(
            f"expected Debian with tools for aarch64, got one {got}; apt install mmdebstrap qemu-user-static"
        )
    if sys.platform != "linux" or os.geteuid() != 0:
        raise RootError("expected root, for chroot and namespaces, got another user; run it with sudo")


@dataclass(frozen=True)
class EmulatedRoot:
    """An aarch64 Debian.

    Attributes:
        folder: that holds it.
        suite: of Debian; Raspberry Pi OS is built on the same.
    """

    folder: Path
    suite: str

    @property
    def home(self) -> Path:
        """Where its commands run, seen from here."""
        return self.folder / HOME

    def make(self) -> None:
        """Make it, unless it is there.

        Raises:
            RootError: mmdebstrap failed.
        """
        if self.folder.exists():
            return
        new = self.folder.with_name(f"{self.folder.name}.new")
        subprocess.run(["rm", "-rf", "--one-file-system", str(new)], check=True)
        options = ["--mode=root", "--architectures=arm64", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        made = _in_namespace(["mmdebstrap", *options, self.suite, str(new)])
        if made.code:
            raise RootError(f"expected mmdebstrap to make a Debian {self.suite}, got exit {made.code}:\n{made.output}")
        folder = new / "sys" / "devices" / "system" / "cpu"
        folder.mkdir(parents=True)
        for name in SYS_CPU:
            (folder / name).write_text(f"0-{CORES - 1}\n")
        new.rename(self.folder)

    def run(self, line: str, *, cpu: str, **environment: str) -> Ran:
        """Run a line of shell in its home.

        Args:
            line: as a user would type it.
            cpu: that qemu emulates, of `CPUINFO`.
            **environment: variables to set.
        """
        known = {"HOME": f"/{HOME}", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "COLUMNS": "100"}
        known |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        known |= {"QEMU_CPU": cpu, "PIP_CERT": CERTIFICATES, **environment}
        settings = [f"{name}={value}" for name, value in known.items()]
        shell = ["env", "-i", *settings, "sh", "-c", f"cd /{HOME} && {line}"]
        described = self.folder.with_name(f"{cpu}.cpuinfo")
        described.write_text(cpuinfo(cpu))
        return _in_namespace(["sh", "-c", CHROOT, "-", str(self.folder.resolve()), str(described.resolve()), *shell])

    def check(self, line: str, *, cpu: str, **environment: str) -> Ran:
        """The same, where it must succeed.

        Raises:
            RootError: it did not.
        """
        ran = self.run(line, cpu=cpu, **environment)
        if ran.code:
            raise RootError(f"expected `{line}` to run, got exit {ran.code}:\n{ran.output}")
        return ran
