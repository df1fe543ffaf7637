"""Holds the compiled objects against the rule that makes one wheel run everywhere.

    python tools/check_isa.py BUILD_DIRECTORY

1. Only the objects of a newer instruction set hold instructions beyond the x86-64 baseline (SSE2), and only those of
   bfloat16 and of AMX hold theirs.
2. They define no weak symbol outside their own namespace: the linker keeps one copy of a weak symbol for everyone, and
   it could be the one compiled for the newer CPU.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ISA_OBJECT = re.compile(r"isa_(?P<isa>\w+)\.(?:cpp\.)?o$")
BASELINE = {"float64", "baseline", "amx_emulated"}
# Instructions that only the objects named may hold, and have to.
OWN = {
    re.compile(r"^(vdpbf16ps|vcvtne2?ps2bf16\w?)$"): {"avx512_bf16", "amx", "amx_emulated_avx512"},
    re.compile(r"^(tdp\w+|tile\w+|[ls][dt]tilecfg)$"): {"amx"},
}
# VEX and EVEX encodings have mnemonics in v…; verr and verw do not. Wide and mask registers betray the rest.
VECTOR = re.compile(r"^v(?!err|erw|mcall)\w+$")
WIDE = re.compile(r"%[yz]mm\d|%k[0-7]\b")
LATER = re.compile(
    r"^(andn|bextr|bls[ir]|blsmsk|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|lzcnt|popcnt|movbe|crc32[bwlq]?|adcx|adox"
    r"|addsubp[sd]|h(add|sub)p[sd]|lddqu|movddup|movs[hl]dup|fisttp\w*"  # SSE3
    r"|pabs[bwd]|palignr|ph(add|sub)s?[wd]|pmaddubsw|pmulhrsw|pshufb|psign[bwd]"  # SSSE3
    r"|p?blend\w*|dpp[sd]|extractps|insertps|movntdqa|mpsadbw|packusdw|pcmpeqq|pcmpgtq|pcmp[ei]str\w|p(extr|insr)[bdq]"
    r"|phminposuw|p(max|min)(sb|sd|ud|uw)|pmov[sz]x\w+|pmuldq|pmulld|ptest|round[ps][sd]"  # SSE4
    r"|aes\w+|pclmul\w+|sha\d+\w+|gf2p8\w+|xgetbv"
    r"|tdp\w+|tile\w+|[ls][dt]tilecfg)$"  # AMX
)
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\s+(?:(?:rep|repz|repnz|lock|data16|bnd|notrack|cs|ds)\s+)*(\w+)\s*(.*)$")
SYMBOL = re.compile(r"^[0-9a-f]+ <(.+)>:$")


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def beyond_baseline(path: Path) -> Counter[tuple[str, str]]:
    """(function, mnemonic) of every instruction that an x86-64 CPU of the first generation lacks."""
    found: Counter[tuple[str, str]] = Counter()
    function = "?"
    for line in output("objdump", "-d", "-C", "--no-show-raw-insn", path).splitlines():
        if symbol := SYMBOL.match(line):
            function = symbol[1]
        elif instruction := INSTRUCTION.match(line):
            mnemonic, operands = instruction.groups()
            if VECTOR.match(mnemonic) or LATER.match(mnemonic) or WIDE.search(operands):
                found[function, mnemonic] += 1
    return found


def leaks(path: Path, isa: str) -> list[str]:
    """Weak definitions of an ISA object outside its namespace."""
    lines = output("nm", "-C", "--defined-only", path).splitlines()
    weak = [line.split(maxsplit=2)[2] for line in lines if re.match(r"^[0-9a-f]+ [WVu] ", line)]
    return [name for name in weak if not re.search(rf"\bfusednet::{isa}::", name)]


def main() -> int:
    if platform.machine() not in {"x86_64", "AMD64"}:
        print("check_isa: not x86-64, nothing to hold")
        return 0
    missing = [tool for tool in ("objdump", "nm") if shutil.which(tool) is None]
    if missing:
        sys.exit(f"check_isa: {', '.join(missing)} missing (package binutils)")
    objects = sorted(Path(sys.argv[1]).rglob("*.o"))
    isas = {m["isa"]: p for p in objects if (m := ISA_OBJECT.search(p.name))}
    if not {"float64", "baseline", "avx2", "avx512", "avx512_bf16", "amx"} <= set(isas):
        sys.exit(f"check_isa: {sys.argv[1]} lacks ISA objects, found {sorted(isas)}")
    failures = 0
    for path in objects:
        match = ISA_OBJECT.search(path.name)
        isa = match["isa"] if match else "baseline"
        found = beyond_baseline(path)
        if isa in BASELINE and found:
            failures += 1
            print(f"{path.name}: {sum(found.values())} instructions beyond baseline, for example")
            for (function, mnemonic), count in found.most_common(5):
                print(f"    {count:5} {mnemonic:12} in {function[:90]}")
        if isa not in BASELINE and not found:
            failures += 1
            print(f"{path.name}: no {isa} instruction at all: the flags of its file are lost, or this check is blind")
        for own, owners in OWN.items() if isa not in BASELINE else ():
            held = sorted({mnemonic for _, mnemonic in found if own.match(mnemonic)})
            if bool(held) != (isa in owners):
                failures += 1
                must = ", ".join(sorted(owners))
                print(f"{path.name}: {', '.join(held) or 'none'} of what only {must} hold, and have to")
        if match and (weak := leaks(path, isa)):
            failures += 1
            print(f"{path.name}: {len(weak)} weak symbols outside fusednet::{isa}, for example {weak[0][:110]}")
    print(f"check_isa: {len(objects)} objects, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
