#!/bin/sh
# The programs that the tests need: Redis, Prometheus and nginx, a browser, and a compiler and an emulator for Arm for the
# kernels.
# Programs that PATH lacks are unpacked from Debian's packages into .tools, which needs no root: no package is
# installed, and no service is started or enabled.
set -eu
cd "$(dirname "$0")/.."
tools="$PWD/.tools"
PATH="$tools/bin:$PATH:/usr/local/sbin:/usr/sbin"

programs=""
packages=""
need() { # PACKAGES PROGRAM...
    wanted="$1"
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || {
            programs="$programs $*"
            packages="$packages $wanted"
            return 0
        }
    done
}
need "redis-server redis-tools" redis-server
need "prometheus" prometheus promtool
need "nginx" nginx
need "chromium-headless-shell" chromium-headless-shell
test "$(uname -m)" = aarch64 || {
    need "g++-aarch64-linux-gnu" aarch64-linux-gnu-g++
    need "qemu-user" qemu-aarch64
}
test -n "$programs" || exit 0

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "the tests need these on PATH, please install them:$programs (redis-server 7 or later)" >&2
    exit 1
fi
echo "The tests need these programs, which are not on PATH:$programs"
echo "Unpacking their Debian packages into $tools; nothing is installed, and no service is started or enabled."

# apt's lists, cache and lock are in our own directory, so that any user can download packages.
fetched="$tools/fetched"
mkdir -p "$fetched/lists/partial" "$fetched/cache/archives/partial" "$tools/bin"
apt() {
    apt-get --quiet --quiet -o Dir::State::Lists="$fetched/lists" -o Dir::Cache="$fetched/cache" \
        -o Debug::NoLocking=1 -o APT::Sandbox::User="$(id -un)" "$@"
}
apt update
# Reinstall: also what is installed already, for one package of a program may be there without the others.
# shellcheck disable=SC2086 # a word a package
apt install --download-only --reinstall --yes --no-install-recommends $packages
for package in "$fetched"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$tools/root"
done
rm -rf "$fetched"

# Pulseaudio has one of its libraries in a directory of its own.
libraries="$(find "$tools/root/usr/lib" "$tools/root/lib" -maxdepth 2 -type d \( -name '*-linux-*' -o -name pulseaudio \) \
    2>/dev/null | paste -sd: -)"
for program in $programs; do
    # Chromium's own program last: what it has in bin is a script that expects it to be installed.
    for path in "$tools/root"/usr/bin/"$program" "$tools/root"/usr/sbin/"$program" "$tools/root"/usr/lib/chromium/"$program"; do
        test -x "$path" || continue
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$libraries" "$path" >"$tools/bin/$program"
        chmod 755 "$tools/bin/$program"
    done
    command -v "$program" >/dev/null || {
        echo "$program is in none of the packages:$packages" >&2
        exit 1
    }
done
