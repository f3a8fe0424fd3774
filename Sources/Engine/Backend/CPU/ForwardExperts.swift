internal import CKernels

/// Mixtures of experts: every row's choices are sorted by expert, so that an expert's matrices are read once for all its
/// rows, and the results are added in the order of the choice. No row is ever left out, and a row's bits do not depend
/// on the others.
extension ForwardWorker {
    /// residual += what the chosen experts and the shared one make of the norm of the residual.
    func multiply(_ mixture: PackedMixture, norm: UnsafePointer<Float>) {
        normalize(by: norm, as: mixture.form)
        multiply(mixture.router, into: step.buffers.outputs, stride: mixture.router.width)
        choose(mixture)
        member.share(1) { _ in sort() }
        gather(mixture)
        if let shared = mixture.shared { multiply(shared) }
        multiply(mixture, isDown: false)
        activate(mixture)
        multiply(mixture, isDown: true)
        scatter()
    }

    private var shape: ModelConfiguration.Mixture {
        guard let mixture = step.model.mixture else { preconditionFailure("experts without their shape") }
        return mixture
    }

    private var slotCount: Int { step.rowCount * shape.expertsPerToken }

    private func choose(_ mixture: PackedMixture) {
        let shape = shape
        let experts = step.buffers.experts
        forEach(step.rowCount) { row in
            let scores = step.buffers.outputs + row * mixture.router.width
            let ranks = experts.ranks + row * shape.expertCount
            shape.choose(
                UnsafeMutableBufferPointer(start: scores, count: shape.expertCount), correction: mixture.correction,
                ranks: UnsafeMutableBufferPointer(start: ranks, count: shape.expertCount),
                chosen: experts.chosen + row * shape.expertsPerToken,
                weights: experts.weights + row * shape.expertsPerToken)
        }
    }

    /// Gives every choice a slot.
    private func sort() {
        let experts = step.buffers.experts
        let expertCount = shape.expertCount
        experts.starts.update(repeating: 0, count: expertCount + 1)
        for choice in 0..<slotCount { experts.starts[Int(experts.chosen[choice]) + 1] += 1 }
        var usedCount = 0
        for expert in 0..<expertCount {
            if experts.starts[expert + 1] > 0 {
                experts.used[usedCount] = Int32(expert)
                usedCount += 1
            }
            experts.starts[expert + 1] += experts.starts[expert]
        }
        for index in usedCount..<expertCount { experts.used[index] = -1 }
        for choice in 0..<slotCount {
            // Each expert's start moves on to the next one's, and back below.
            let expert = Int(experts.chosen[choice])
            let slot = experts.starts[expert]
            experts.starts[expert] += 1
            experts.slots[choice] = slot
            experts.rows[Int(slot)] = Int32(choice / shape.expertsPerToken)
        }
        for expert in (1...expertCount).reversed() { experts.starts[expert] = experts.starts[expert - 1] }
        experts.starts[0] = 0
    }

    /// Copies every slot's row of the inputs.
    private func gather(_ mixture: PackedMixture) {
        let width = step.model.embeddingLength
        let experts = step.buffers.experts
        forEach(slotCount) { slot in
            let row = Int(experts.rows[slot])
            (experts.inputs + slot * width).update(from: step.buffers.inputs + row * width, count: width)
            mixture.form.copy(row, of: step.buffers.prepared, width: width, to: slot, in: experts.prepared)
        }
    }

    /// outputs = inputs * matrices, expert by expert.
    private func multiply(_ mixture: PackedMixture, isDown: Bool) {
        let experts = step.buffers.experts
        let first = isDown ? mixture.experts[0].down : mixture.experts[0].gateUp
        let panelsPerChunk = max(1, min(16, first.width / 16 / (member.teamCount * 2)))
        let chunks = first.projections.reduce(0) { $0 + ($1.panelCount + panelsPerChunk - 1) / panelsPerChunk }
        // As many experts as can be in use; how many really are only the body may ask.
        member.share(min(slotCount, shape.expertCount) * chunks) { chunk in
            let index = Int(experts.used[chunk / chunks])
            guard index >= 0 else { return }
            let group = isDown ? mixture.experts[index].down : mixture.experts[index].gateUp
            multiply(group, expert: index, chunk: chunk % chunks, panelsPerChunk: panelsPerChunk)
        }
    }

    private func multiply(_ group: ProjectionGroup, expert: Int, chunk: Int, panelsPerChunk: Int) {
        let experts = step.buffers.experts
        var rest = chunk
        for projection in group.projections {
            let chunks = (projection.panelCount + panelsPerChunk - 1) / panelsPerChunk
            guard rest < chunks else {
                rest -= chunks
                continue
            }
            let panel = rest * panelsPerChunk
            let first = Int(experts.starts[expert])
            var matrix = projection.matrix
            var activations = experts.prepared.activations(experts.inputs, width: group.inputs, form: group.form)
            var output = ck_output(
                y: experts.outputs + projection.column, stride: group.width, bias: nil, accumulate: false)
            ck_matmul(
                &matrix, &activations, first, Int(experts.starts[expert + 1]) - first, panel,
                min(panelsPerChunk, projection.panelCount - panel), &output)
            return
        }
    }

    /// inputs = f(gate) · up of every slot.
    private func activate(_ mixture: PackedMixture) {
        let experts = step.buffers.experts
        let block = mixture.experts[0]
        let width = block.hidden
        forEach(slotCount) { slot in
            let gate = experts.outputs + slot * block.gateUp.width
            let hidden = experts.inputs + slot * width
            activate(gate, gate + block.gateUp.projections[1].column, width, into: hidden)
            mixture.downForm.prepare(hidden, width: width, row: slot, in: experts.prepared)
        }
    }

    /// residual += the weighted results of every row, in the order of its choices.
    private func scatter() {
        let width = step.model.embeddingLength
        let count = shape.expertsPerToken
        let experts = step.buffers.experts
        forEach(step.rowCount) { row in
            let residual = step.buffers.residual + row * step.residualStride
            for choice in row * count..<(row + 1) * count {
                let result = experts.outputs + Int(experts.slots[choice]) * step.residualStride
                let weight = experts.weights[choice]
                for column in 0..<width { residual[column] += weight * result[column] }
            }
        }
    }
}
