internal import CKernels

/// Multi-head latent attention; see `PackedLatent`.
extension ForwardWorker {
    /// The queries of a row against latents: (heads, packed head of the cache).
    func latentQueries(_ row: Int) -> UnsafeMutablePointer<Float> {
        step.buffers.latentQueries + row * step.model.headCount * step.headStride
    }

    /// From the products of `layer.queryKeyValue` to the inputs of `layer.attentionOutput`.
    func attendToLatents(_ index: Int, _ layer: PackedLayer, _ latent: PackedLatent) {
        guard let shape = step.model.latentAttention else { preconditionFailure("a latent without its shape") }
        storeLatents(index, layer, latent, shape)
        if let query = latent.query { multiply(query, into: step.buffers.outputs, stride: query.width) }
        turnQueries(layer, latent, shape, width: (latent.query ?? layer.queryKeyValue).width)
        attend(index, layer)
        if step.tiles.isSplit { forEach(step.rowCount) { row in merge(row, layer) } }
        expand(layer, latent, shape)
    }

    /// Normalizes latents, turns the keys behind them and writes both to the cache; normalizes what queries are made of.
    private func storeLatents(
        _ index: Int, _ layer: PackedLayer, _ latent: PackedLatent, _ shape: ModelConfiguration.LatentAttention
    ) {
        let group = layer.queryKeyValue
        forEach(step.rowCount) { row in
            let key = step.buffers.outputs + row * group.width + group.projections[1].column
            ck_rms_norm(key, latent.norm, shape.keyValueRank, shape.normEpsilon, key)
            turn(key + shape.keyValueRank, row, layer)
            // What the value holds behind the latent is attended to and never looked at.
            store(key: key, value: key, layer: index, head: 0, row)
            guard let norm = latent.queryNorm, let query = latent.query else { return }
            ck_rms_norm(
                step.buffers.outputs + row * group.width, norm, query.inputs, shape.normEpsilon,
                step.buffers.inputs + row * query.inputs)
            prepare(row, for: query)
        }
    }

    /// Takes queries through the key matrices of their heads, and turns their last elements.
    private func turnQueries(
        _ layer: PackedLayer, _ latent: PackedLatent, _ shape: ModelConfiguration.LatentAttention, width: Int
    ) {
        let stride = ForwardStep.padded(step.model.headDimension)
        let end = shape.keyValueRank + step.model.rotaryDimension
        forEachHead { head, rows in
            multiply(
                latent.keys[head], step.buffers.outputs + head * stride, width,
                into: latentQueries(0) + head * step.headStride, step.model.headCount * step.headStride, rows)
            for row in rows {
                let turned = step.buffers.outputs + row * width + head * stride + shape.plainDimension
                turn(turned, row, layer)
                // Written behind the product, whose last panel may reach further than the latent.
                let target = latentQueries(row) + head * step.headStride
                (target + shape.keyValueRank).update(from: turned, count: step.model.rotaryDimension)
                (target + end).update(repeating: 0, count: step.headStride - end)
                step.cache.prepare(queries: target, count: step.headStride)
            }
        }
    }

    /// Takes attended latents through the value matrices of their heads to `inputs`.
    private func expand(
        _ layer: PackedLayer, _ latent: PackedLatent, _ shape: ModelConfiguration.LatentAttention
    ) {
        let heads = step.model.headCount
        let stride = ForwardStep.padded(shape.valueDimension)
        forEachHead { head, rows in
            multiply(
                latent.values[head], latentQueries(0) + head * step.headStride, heads * step.headStride,
                into: step.buffers.outputs + head * stride, heads * stride, rows)
        }
        forEach(step.rowCount) { row in
            for head in 0..<heads {
                (step.buffers.inputs + row * step.model.attendedLength + head * shape.valueDimension).update(
                    from: step.buffers.outputs + (row * heads + head) * stride, count: shape.valueDimension)
            }
            prepare(row, for: layer.attentionOutput)
        }
    }

    /// Runs `body` for each head and some rows, shared out among the threads.
    private func forEachHead(_ body: (Int, Range<Int>) -> Void) {
        let rowsPerPart = 12
        let heads = step.model.headCount
        member.share(heads * ((step.rowCount + rowsPerPart - 1) / rowsPerPart)) { part in
            let first = part / heads * rowsPerPart
            body(part % heads, first..<min(step.rowCount, first + rowsPerPart))
        }
    }

    /// Turns the one head at `x`.
    private func turn(_ x: UnsafeMutablePointer<Float>, _ row: Int, _ layer: PackedLayer) {
        let angles = angles(row, layer)
        ck_rotary(
            x, 1, step.model.rotaryDimension, step.half, step.buffers.cosines + angles, step.buffers.sines + angles)
    }

    /// y[row] = matrix * x[row] in float32.
    private func multiply(
        _ matrix: ck_matrix, _ x: UnsafePointer<Float>, _ stride: Int, into y: UnsafeMutablePointer<Float>,
        _ outputStride: Int, _ rows: Range<Int>
    ) {
        var matrix = matrix
        var activations = ck_activations(floats: x, stride: stride)
        var output = ck_output(y: y, stride: outputStride, bias: nil, accumulate: false)
        ck_matmul(
            &matrix, &activations, rows.lowerBound, rows.count, 0, (matrix.outputs + 15) / 16, &output)
    }
}
