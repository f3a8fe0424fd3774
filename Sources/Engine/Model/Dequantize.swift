extension Tensor {
    /// Writes the elements of one row as 32-bit floats, bit for bit what GGML's `dequantize_row_*` computes.
    ///
    /// - Parameters:
    ///   - row: 0..<rows.
    ///   - output: exactly `columns` elements.
    package func dequantize(row: Int, into output: UnsafeMutableBufferPointer<Float>) {
        precondition((0..<rows).contains(row) && output.count == columns, "Tensor: row or buffer out of range")
        let byteCount = columns / type.blockLength * type.blockByteCount
        let source = UnsafeRawBufferPointer(rebasing: bytes[row * byteCount..<(row + 1) * byteCount])
        let scale = integers?.weightScale(row) ?? 1
        let decode: (QuantizedBlock, UnsafeMutableBufferPointer<Float>) -> Void =
            switch type {
            case .f32: { $1[0] = Float(bitPattern: $0.uint32(0)) }
            case .f16: { $1[0] = $0.half(0) }
            case .bf16: { $1[0] = Float(bitPattern: UInt32($0.uint16(0)) << 16) }
            case .q8_0: decodeQ8_0
            case .q4_0: decodeQ4_0
            case .q4_1: decodeQ4_1
            case .q4_K: decodeQ4_K
            case .q5_K: decodeQ5_K
            case .q6_K: decodeQ6_K
            case .i8: { $1[0] = Float(Int8(bitPattern: $0[0])) * scale }
            }
        for block in 0..<columns / type.blockLength {
            decode(
                QuantizedBlock(bytes: source, start: block * type.blockByteCount),
                UnsafeMutableBufferPointer(
                    rebasing: output[block * type.blockLength..<(block + 1) * type.blockLength]))
        }
    }
}

/// The bytes of one block; little endian.
private struct QuantizedBlock {
    let bytes: UnsafeRawBufferPointer
    let start: Int

    subscript(offset: Int) -> UInt8 { bytes[start + offset] }

    func uint16(_ offset: Int) -> UInt16 {
        UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: start + offset, as: UInt16.self))
    }

    func uint32(_ offset: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: start + offset, as: UInt32.self))
    }

    func half(_ offset: Int) -> Float { Float(Float16(bitPattern: uint16(offset))) }

    /// Scale and minimum number `index` (0..<8), six bits each, of a Q4_K or Q5_K block, whose twelve bytes begin at 4.
    /// GGML: `get_scale_min_k4`.
    func scaleAndMinimum(_ index: Int) -> (scale: Float, minimum: Float) {
        if index < 4 { return (Float(self[4 + index] & 63), Float(self[8 + index] & 63)) }
        let low = self[8 + index]
        return (
            Float(low & 0xF | (self[index] >> 6) << 4),
            Float(low >> 4 | (self[4 + index] >> 6) << 4)
        )
    }
}

/// d: half, 32 signed bytes.
private func decodeQ8_0(_ block: QuantizedBlock, _ output: UnsafeMutableBufferPointer<Float>) {
    let d = block.half(0)
    for i in 0..<32 { output[i] = Float(Int8(bitPattern: block[2 + i])) * d }
}

/// d: half, 16 bytes: element i in the low, i + 16 in the high nibble, minus 8.
private func decodeQ4_0(_ block: QuantizedBlock, _ output: UnsafeMutableBufferPointer<Float>) {
    let d = block.half(0)
    for i in 0..<16 {
        output[i] = Float(Int(block[2 + i] & 0xF) - 8) * d
        output[i + 16] = Float(Int(block[2 + i] >> 4) - 8) * d
    }
}

/// d, m: half, 16 bytes of nibbles as in Q4_0 without the 8.
private func decodeQ4_1(_ block: QuantizedBlock, _ output: UnsafeMutableBufferPointer<Float>) {
    let d = block.half(0)
    let m = block.half(2)
    for i in 0..<16 {
        output[i] = Float(block[4 + i] & 0xF) * d + m
        output[i + 16] = Float(block[4 + i] >> 4) * d + m
    }
}

/// d, dmin: half, 8 scales and minima, 128 bytes: 32 bytes hold one group of 32 in the low and the next in the high
/// nibbles.
private func decodeQ4_K(_ block: QuantizedBlock, _ output: UnsafeMutableBufferPointer<Float>) {
    for group in 0..<8 {
        let (scale, minimum) = block.scaleAndMinimum(group)
        let d = block.half(0) * scale
        let m = block.half(2) * minimum
        for i in 0..<32 {
            let quant = block[16 + group / 2 * 32 + i] >> (group % 2 == 0 ? 0 : 4) & 0xF
            output[group * 32 + i] = d * Float(quant) - m
        }
    }
}

/// As Q4_K, with 32 bytes before the nibbles whose bit `group` is the fifth bit of the group's elements.
private func decodeQ5_K(_ block: QuantizedBlock, _ output: UnsafeMutableBufferPointer<Float>) {
    for group in 0..<8 {
        let (scale, minimum) = block.scaleAndMinimum(group)
        let d = block.half(0) * scale
        let m = block.half(2) * minimum
        for i in 0..<32 {
            let low = block[48 + group / 2 * 32 + i] >> (group % 2 == 0 ? 0 : 4) & 0xF
            let high = block[16 + i] >> UInt8(group) & 1
            output[group * 32 + i] = d * Float(low | high << 4) - m
        }
    }
}

/// 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, d: half; elements minus 32. Each half of the
/// block holds four groups of 32 that share 64 low and 32 high bytes.
private func decodeQ6_K(_ block: QuantizedBlock, _ output: UnsafeMutableBufferPointer<Float>) {
    let d = block.half(208)
    for group in 0..<8 {
        let half = group / 4
        let quarter = group % 4
        for i in 0..<32 {
            let low = block[half * 64 + quarter % 2 * 32 + i] >> (quarter < 2 ? 0 : 4) & 0xF
            let high = block[128 + half * 32 + i] >> UInt8(quarter * 2) & 3
            let scale = Float(Int8(bitPattern: block[192 + group * 2 + i / 16]))
            output[group * 32 + i] = d * scale * Float(Int(low | high << 4) - 32)
        }
    }
}
