# What the gate and the full run share. Sourced, from the root of the checkout.

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$HOME/.cache/refrain/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"

# Tests that cannot be on this machine fail, but for those that REFRAIN_MAY_SKIP names (strace,tmpfs).
export CI=true

NEXTEST_VERSION=0.9.143
DENY_VERSION=0.20.2
# Folders with a workspace of their own: they are compiled for plugins.
mapfile -t OTHER_WORKSPACES < <(git ls-files '*/Cargo.toml' | xargs grep -lx '\[workspace\]' | xargs -n 1 dirname)

step() {
    printf '\n== %s (%s)\n' "$1" "$(date -u +%H:%M:%S)"
}

have() {
    command -v "$1" >/dev/null
}

# Cargo in the version that rust-toolchain.toml names, by rustup, which is fetched when it is missing.
require_cargo() {
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    if ! have cargo; then
        echo "cargo is missing: installing rustup into ${CARGO_HOME:-$HOME/.cargo}"
        local init
        # It goes by its name.
        init=$(mktemp -d)/rustup-init
        fetch "https://static.rust-lang.org/rustup/dist/$(uname -m)-unknown-linux-gnu/rustup-init" "$init"
        chmod +x "$init"
        "$init" -y -q --no-modify-path --profile minimal --default-toolchain none
        rm -r "$(dirname "$init")"
    fi
    if have rustup && ! cargo --version >/dev/null 2>&1; then
        rustup toolchain install
    fi
    cargo --version
}

fetch() {
    if have curl; then
        curl -fsSL -o "$2" "$1"
    elif have wget; then
        wget -q -O "$2" "$1"
    else
        echo "neither curl nor wget is there: install rustup by https://rustup.rs" >&2
        exit 1
    fi
}

# A linker, which rustup does not bring.
require_compiler() {
    have cc && return
    echo "cc is missing: installing it"
    if [ "$(id -u)" = 0 ]; then
        apt-get update -q && apt-get install -y -q --no-install-recommends gcc libc6-dev
    else
        echo "as root: apt-get install gcc libc6-dev" >&2
        exit 1
    fi
}

# Without it the tests of failing system calls cannot be.
require_strace() {
    have strace && return
    echo "strace is missing: installing it"
    if [ "$(id -u)" = 0 ]; then
        apt-get update -q && apt-get install -y -q --no-install-recommends strace
    else
        echo "as root: apt-get install strace; or leave its tests out: REFRAIN_MAY_SKIP=strace $0" >&2
        [[ ",${REFRAIN_MAY_SKIP:-}," == *,strace,* ]] || exit 1
    fi
}

require_nextest() {
    have cargo-nextest || cargo install cargo-nextest --locked --version "$NEXTEST_VERSION"
    cargo nextest --version | head -1
}

require_deny() {
    have cargo-deny || cargo install cargo-deny --locked --version "$DENY_VERSION"
}

# The advisory database is a git repository of another host, which a gate must not depend on: not asked for.
deny() {
    cargo deny --workspace --all-features --config .config/deny.toml check bans licenses sources
}

# The test command of the README.
test_all() {
    cargo nextest run --release --workspace
}
