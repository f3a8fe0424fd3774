import CKernels
import Testing

/// The nearest bfloat16, of two the even one: by trying both neighbours.
func nearestBfloat(_ x: Float) -> Float {
    guard x.isFinite else { return x }
    let below = Float(bitPattern: x.bitPattern & 0xFFFF_0000)
    let above = Float(bitPattern: (x.bitPattern & 0xFFFF_0000) &+ 0x1_0000)
    // Beyond the greatest number the next one would be 2^128.
    let end = above.isInfinite ? Double(sign: above.sign, exponent: 128, significand: 1) : Double(above)
    let (down, up) = ((Double(x) - Double(below)).magnitude, (end - Double(x)).magnitude)
    if down == up { return below.bitPattern & 0x1_0000 == 0 ? below : above }
    return down < up ? below : above
}

/// What a panel of `format` holds of `values`, which are stored as `type`, and the largest magnitude that was told.
private func packed(_ values: [UInt32], _ type: ck_type, _ format: ck_format) -> (bits: [UInt32], largest: Float) {
    let bytes = values.flatMap { bits in
        (0..<ck_element_bytes(type)).map { UInt8(truncatingIfNeeded: bits >> ($0 * 8)) }
    }
    return bytes.withUnsafeBytes { source in
        var rows = [UnsafeRawPointer?](repeating: nil, count: 16)
        rows[5] = source.baseAddress
        let panel = UnsafeMutableRawPointer.allocate(
            byteCount: ck_panel_bytes(format, values.count), alignment: 64)
        defer { panel.deallocate() }
        let largest = ck_pack_floats(type, rows, values.count, format, panel)
        let bits = values.indices.map { index in
            switch format {
            case CK_PANEL_F32: panel.load(fromByteOffset: (index * 16 + 5) * 4, as: UInt32.self)
            case CK_PANEL_BF16:
                UInt32(panel.load(fromByteOffset: (index / 2 * 16 + 5) * 4 + index % 2 * 2, as: UInt16.self))
            default: UInt32(panel.load(fromByteOffset: (index * 16 + 5) * 2, as: UInt16.self))
            }
        }
        return (bits, largest)
    }
}

/// What products take a bfloat16 for: zero below 2^-49.
private func kept(_ bits: UInt32) -> UInt32 { bits & 0x7FFF < 0x2700 ? 0 : bits }

extension KernelTests {
    @Test func `all 65,536 bfloat16 patterns survive float32 and back, but for the tiny ones`() {
        let patterns = (0..<UInt32(65_536)).map { $0 }
        let wide = packed(patterns, CK_BF16, CK_PANEL_F32).bits
        #expect(wide == patterns.map { $0 << 16 })
        let back = packed(wide, CK_F32, CK_PANEL_BF16).bits
        for (pattern, result) in zip(patterns, back) {
            // A signalling NaN comes back quiet, with its payload.
            let isNaN = pattern & 0x7FFF > 0x7F80
            #expect(result == (isNaN ? pattern | 0x40 : kept(pattern)))
        }
    }

    @Test func `float32 rounds to the nearest bfloat16, of two to the even one, in every instruction set`() {
        var random = Random(30)
        let ties: [UInt32] = [
            0x3F80_8000, 0x3F81_8000, 0x3F80_7FFF, 0x3F80_8001, 0x7F7F_7FFF, 0x7F7F_8000, 0x0000_8000, 0x0001_8000,
        ]
        let values =
            ties.flatMap { [$0, $0 | 0x8000_0000] }
            + (0..<4096).map { _ in UInt32.random(in: 0..<0x7F80_0000, using: &random) }
        let expected = values.map { nearestBfloat(Float(bitPattern: $0)).bitPattern >> 16 }
        #expect(packed(values, CK_F32, CK_PANEL_BF16).bits == expected.map(kept))
        let chosen = ck_current()
        defer { ck_force(chosen) }
        for level in levels + [CK_GENERIC] {
            ck_force(level)
            let floats = values.map { Float(bitPattern: $0) }
            var (keys, result) = (
                [UInt16](repeating: 0, count: floats.count * 16), [UInt16](repeating: 0, count: floats.count * 16)
            )
            _ = ck_store(CK_BF16, floats, floats, floats.count, 0, &keys, &result)
            // Keys and values of position 0 are in pairs with the next element, or position.
            #expect(floats.indices.map { UInt32(result[$0 * 2]) } == expected.map(kept))
            #expect(floats.indices.map { UInt32(keys[$0 / 2 * 32 + $0 % 2]) } == expected.map(kept))
            var (rounded, bfloats) = (floats, [UInt16](repeating: 7, count: ck_padded_pairs(floats.count)))
            ck_round(&rounded, 1, floats.count, floats.count, &bfloats)
            #expect(
                bfloats.map { UInt32($0) } == expected.map(kept)
                    + [UInt32](repeating: 0, count: bfloats.count - floats.count))
            #expect(rounded.map(\.bitPattern) == expected.map { kept($0) << 16 })
        }
    }

    @Test func `float16 panels round to the nearest and tell the largest magnitude`() {
        let values: [Float] = [1, -2.0004883, 65519, 1e-8, 5.9604645e-8, -0.333]
        let result = packed(values.map(\.bitPattern), CK_F32, CK_PANEL_F16)
        #expect(result.bits == values.map { UInt32(Float16($0).bitPattern) })
        #expect(result.largest == 65519)
        #expect(packed([Float(-70000).bitPattern, 0], CK_F32, CK_PANEL_F16).largest == 70000)
        for (type, format, nan) in [
            (CK_F32, CK_PANEL_F32, UInt32(0xFFC0_0000)), (CK_F16, CK_PANEL_F16, 0xFE00),
            (CK_BF16, CK_PANEL_BF16, 0xFFC0),
            (CK_F16, CK_PANEL_BF16, 0x7E00),
        ] {
            #expect(packed([0, nan, 1], type, format).largest.isNaN)
        }
        #expect(packed([0, 0x7C00, 1], CK_F16, CK_PANEL_F16).largest == .infinity)
        #expect(packed([0, 0x7F80, 1], CK_BF16, CK_PANEL_F32).largest == .infinity)
    }
}
