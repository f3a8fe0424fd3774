/// Attention over latents (DeepSeek): a token has one latent and one rotated key in the cache, whatever the number of heads.
///
/// Queries are taken through the key matrices of their heads and meet latents as they are; what they attended to is taken
/// through the value matrices. So it is for prompts as for steps that decode: no key and no value of a head is ever formed.
extension AscendProgram {
    /// From the product of what queries and latents are made of to what the heads attended to.
    ///
    /// - Parameter width: elements of a row of the product.
    /// - Throws: `EngineError.unsupportedModel` or `invalidModel` for what the checkpoint holds or lacks.
    mutating func addLatentAttention(
        _ layer: Int, _ shape: ModelConfiguration.LatentAttention, _ product: AscendTensor, width: Int,
        _ mask: AscendTensor, _ weights: inout AscendWeights
    ) throws(EngineError) -> AscendTensor {
        let (rank, rotated) = (shape.keyValueRank, model.rotaryDimension)
        let start = width - rank - rotated
        let latent = use(.key, rank)
        normalize(
            product.columns(start..<start + rank, width: width),
            by: try weights.norm(.layer(layer, .keyValueLatentNorm)), shape, into: latent)
        let key = use(.value, rotated).reshaped([.rows, 1, .fixed(rotated)])
        rotate(product.heads(1, of: rotated, from: start + rank, width: width), into: key)
        let (latents, keys) = (cache(.keys(layer), 1, rank), cache(.values(layer), 1, rotated))
        trunk.append(
            .storeKeyValue(
                key: latent.reshaped([.rows, 1, .fixed(rank)]), value: key, keyCache: latents, valueCache: keys,
                slots: input(.slots, .rows)))

        let query = try addLatentQueries(layer, shape, product, width: width, &weights)
        let heads = model.headCount
        let attended = use(.attendedLatents, heads * rank).reshaped([.rows, .fixed(heads), .fixed(rank)])
        let cached = latents.reshaped([.blocks, .blockSize, .fixed(rank)])
        trunk.append(
            .attention(
                AscendAttention(
                    layer: layer, query: query.plain, keyCache: cached, valueCache: cached, blockTables: blockTables,
                    mask: mask, out: attended, headCount: heads, keyValueHeadCount: 1,
                    scale: Double(model.attentionScale),
                    latents: AscendAttention.Latents(
                        query: query.rotated, keyCache: keys.reshaped([.blocks, .blockSize, .fixed(rotated)])))))
        let values = use(.attended, model.attendedLength)
        multiply(
            attended, try weights.headValues(layer, shape),
            into: values.reshaped([.rows, .fixed(heads), .fixed(shape.valueDimension)]))
        return values
    }

    /// What of each head's query meets latents, and what meets rotated keys.
    private mutating func addLatentQueries(
        _ layer: Int, _ shape: ModelConfiguration.LatentAttention, _ product: AscendTensor, width: Int,
        _ weights: inout AscendWeights
    ) throws(EngineError) -> (plain: AscendTensor, rotated: AscendTensor) {
        var (projected, width) = (product, width)
        if let rank = shape.queryRank {
            let latent = use(.queryLatent, rank)
            normalize(
                product.columns(0..<rank, width: width), by: try weights.norm(.layer(layer, .queryLatentNorm)), shape,
                into: latent)
            (projected, width) = (use(.projectedQuery, model.queryLength), model.queryLength)
            multiply(latent, try weights.linear([(.layer(layer, .query), nil)]), into: projected)
        }
        let (heads, distance) = (model.headCount, model.headDimension)
        let rotated = use(.rotatedQuery, heads * model.rotaryDimension)
            .reshaped([.rows, .fixed(heads), .fixed(model.rotaryDimension)])
        rotate(
            projected.heads(
                heads, of: model.rotaryDimension, from: shape.plainDimension, width: width, distance: distance),
            into: rotated)
        let plain = use(.query, heads * shape.keyValueRank)
            .reshaped([.rows, .fixed(heads), .fixed(shape.keyValueRank)])
        multiply(
            projected.heads(heads, of: shape.plainDimension, from: 0, width: width, distance: distance),
            try weights.headKeys(layer, shape), into: plain)
        return (plain, rotated)
    }

    private mutating func normalize(
        _ x: AscendTensor, by gamma: AscendTensor, _ shape: ModelConfiguration.LatentAttention, into y: AscendTensor
    ) {
        trunk.append(
            .rmsNorm(
                x: x, gamma: gamma, y: y, inverseDeviation: inverseDeviation, epsilon: shape.normEpsilon))
    }

    /// Each head of `y` = that of `x` times its matrix. The operator writes head after head, and the copy behind it row after
    /// row.
    private mutating func multiply(_ x: AscendTensor, _ matrices: AscendTensor, into y: AscendTensor) {
        guard case .fixed(let heads) = y.shape[1], case .fixed(let outputs) = y.shape[2] else {
            preconditionFailure("heads have sizes")
        }
        let product = use(.byHeads, heads * outputs).reshaped([.fixed(heads), .rows, .fixed(outputs)])
        trunk.append(.batchMatmul(x: x.byHeads, weight: matrices, y: product))
        trunk.append(.inplaceCopy(target: y.byHeads, source: product))
    }
}

extension AscendWeights {
    /// What makes latents, and queries or the latents that these are made of.
    ///
    /// - Parameter followsSum: whether the inputs are the norm of a sum.
    /// - Throws: as `linear`.
    mutating func latents(
        _ layer: Int, _ shape: ModelConfiguration.LatentAttention, followsSum: Bool
    ) throws(EngineError) -> Linear {
        let queries: TensorRole.LayerRole = shape.queryRank == nil ? .query : .queryLatent
        return try linear(
            [(.layer(layer, queries), nil), (.layer(layer, .keyValueLatent), nil)], followsSum: followsSum)
    }

    /// What each head's keys would be made of latents by: (heads, plain elements, latent elements).
    ///
    /// - Throws: as `Checkpoint.tensor`.
    mutating func headKeys(
        _ layer: Int, _ shape: ModelConfiguration.LatentAttention
    ) throws(EngineError) -> AscendTensor {
        let rows = try headRows(layer, shape, 0..<shape.plainDimension)
        let table = try table("keys of latents \(layer)", rows, element)
        return table.reshaped([.fixed(rows.count), .fixed(shape.plainDimension), .fixed(shape.keyValueRank)])
    }

    /// What makes values of latents: (heads, latent elements, value elements), which lie as (heads, values, latents).
    ///
    /// - Throws: as `Checkpoint.tensor`.
    mutating func headValues(
        _ layer: Int, _ shape: ModelConfiguration.LatentAttention
    ) throws(EngineError) -> AscendTensor {
        let (inputs, outputs) = (shape.keyValueRank, shape.valueDimension)
        let rows = try headRows(layer, shape, shape.plainDimension..<shape.plainDimension + outputs)
        var matrices = try table("values of latents \(layer)", rows, element)
            .reshaped([.fixed(rows.count), .fixed(inputs), .fixed(outputs)])
        matrices.strides = [outputs * inputs, 1, inputs]
        return matrices
    }

    /// Some rows of each head of what expands latents.
    private func headRows(
        _ layer: Int, _ shape: ModelConfiguration.LatentAttention, _ range: Range<Int>
    ) throws(EngineError) -> [Part] {
        let whole = try part(.layer(layer, .keyValueExpansion))
        return stride(
            from: whole.rows.lowerBound, to: whole.rows.upperBound, by: shape.plainDimension + shape.valueDimension
        ).map { start in
            Part(
                role: whole.role, tensor: whole.tensor, rows: start + range.lowerBound..<start + range.upperBound,
                columns: whole.columns)
        }
    }
}
