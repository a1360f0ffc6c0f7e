#!/usr/bin/env bash
# Makes a 64-bit Arm Python with ONNX Runtime and LiteRT that runs under qemu's user emulation: real Arm wheels without a board.
# Nothing outside the folder is changed, and no root is needed; about 250 MB are fetched from Debian and PyPI.
#     apt-get install qemu-user-static
#     ARM_EMULATION=~/arm-emulation tests/devices/arm_emulation.sh
#     ARM_EMULATION=~/arm-emulation pytest -m arm
set -euo pipefail
: "${ARM_EMULATION:?must name the folder to make}"
command -v qemu-aarch64-static apt-get dpkg-deb >/dev/null || {
    echo "error: this needs Debian's apt and qemu-user-static: apt-get install qemu-user-static" >&2
    exit 2
}
mkdir -p "$ARM_EMULATION"
cd "$ARM_EMULATION"
mkdir -p root wheels apt/state/lists/partial apt/cache/archives/partial
touch apt/status

echo "=== Debian packages"
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User="$(id -un)"
    -o Dir::State="$PWD/apt/state" -o Dir::State::status="$PWD/apt/status" -o Dir::Cache="$PWD/apt/cache"
    -o Debug::NoLocking=1)
"${apt[@]}" update
"${apt[@]}" install --download-only --yes --no-install-recommends \
    python3 python3-minimal libstdc++6 libgcc-s1 libgomp1 libatomic1
for package in apt/cache/archives/*.deb; do
    dpkg-deb -x "$package" root
done

echo "=== Wheels"
# pip does not widen platform tags: each that a wheel may bear has to be named.
version=$(basename "$(readlink -f root/usr/bin/python3)" | tr -d 'python.')
platforms=()
for glibc in 2_28 2_27 2_17; do
    platforms+=(--platform "manylinux_${glibc}_aarch64")
done
python3 -m pip install --quiet --upgrade --target wheels --only-binary=:all: --implementation cp \
    --python-version "$version" "${platforms[@]}" --platform manylinux2014_aarch64 onnxruntime ai-edge-litert numpy

echo "=== A Raspberry Pi's files"
# ONNX Runtime does not start without an Arm cpuinfo; qemu looks for absolute paths in the root folder first.
mkdir -p root/proc/device-tree root/sys/class/thermal/thermal_zone0 root/sys/devices/system/cpu/cpu0/cpufreq
for core in 0 1 2 3; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\n' $core
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n\n'
done >root/proc/cpuinfo
printf 'Raspberry Pi 5 Model B Rev 1.0\0' >root/proc/device-tree/model
echo 51500 >root/sys/class/thermal/thermal_zone0/temp
echo 2400000 >root/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq
echo ondemand >root/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
echo "=== done: $ARM_EMULATION"
