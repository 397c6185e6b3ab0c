#!/bin/sh
# What the tests need beyond Python: libfluidsynth plays SoundFonts, ffmpeg, a program of its own,
# checks our loudness by its meter, Chromium opens the dashboard, and PostgreSQL and Redis are started
# by the tests themselves.
# The product runs without any of them.
set -eu
python=$(dirname "$0")/../.venv/bin/python
have_postgres() {
    for folder in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin \
        /usr/local/opt/postgresql@*/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && return
    done
    command -v initdb >/dev/null && command -v postgres >/dev/null
}
have_redis() { command -v redis-server >/dev/null; }
have_chromium() {
    command -v chromium >/dev/null || command -v google-chrome >/dev/null ||
        [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]
}
if "$python" -c 'import ctypes.util, sys; sys.exit(not ctypes.util.find_library("fluidsynth"))' &&
    command -v ffmpeg >/dev/null && have_postgres && have_redis && have_chromium; then
    exit 0
fi
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
if command -v apt-get >/dev/null; then
    packages="libfluidsynth3 ffmpeg"
    services=""
    have_chromium || packages="$packages chromium"
    have_postgres || { packages="$packages postgresql" services="$services postgresql"; }
    have_redis || { packages="$packages redis-server" services="$services redis-server"; }
    policy=/usr/sbin/policy-rc.d
    if [ -n "$services" ] && [ ! -e "$policy" ]; then # else Debian starts both as it installs them
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root apt-get update -qq
    # shellcheck disable=SC2086  # one word a package
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        $packages
    for service in $services; do # nor are they to start at the next boot
        if command -v systemctl >/dev/null; then
            as_root systemctl disable --quiet "$service" || true
        fi
    done
elif command -v brew >/dev/null; then
    brew install --quiet fluid-synth ffmpeg
    have_postgres || brew install --quiet postgresql@16
    have_redis || brew install --quiet redis
    have_chromium || brew install --quiet --cask google-chrome
else
    echo "Install FluidSynth's library (libfluidsynth), ffmpeg, Chromium, PostgreSQL and Redis with" \
        "your package manager, then run again." >&2
    exit 1
fi
