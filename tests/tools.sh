#!/bin/sh
# What the tests run besides Python: Redis, Prometheus and nginx, from Debian's packages where PATH has none.
set -eu
PATH="$PATH:/usr/local/sbin:/usr/sbin"

missing=""
for tool in redis-server prometheus nginx; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
test -n "$missing" || exit 0

if ! command -v apt-get >/dev/null; then
    echo "the tests need these on PATH, please install them:$missing (redis-server 7 or later; prometheus with promtool)" >&2
    exit 1
fi
as_root=""
test "$(id -u)" = 0 || as_root=sudo

# The packages would start their servers, on the ports of those that may be in use; this is Debian's way to say no.
policy=/usr/sbin/policy-rc.d
if ! test -e "$policy"; then
    trap '$as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
$as_root apt-get update --quiet
# shellcheck disable=SC2086 # a word a package
$as_root apt-get install --quiet --yes --no-install-recommends $missing
