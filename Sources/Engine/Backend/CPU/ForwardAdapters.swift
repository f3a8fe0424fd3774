internal import CKernels

/// Consecutive rows of a step that have the same adapter; rows without one are in none. Kept and refilled.
struct AdapterRuns {
    /// Rows of one adapter.
    struct Run {
        let adapter: Int
        var rows: Range<Int>
    }

    private(set) var runs: [Run] = []

    /// Finds the runs of a plan.
    mutating func cut(_ plan: borrowing StepPlan) {
        runs.removeAll(keepingCapacity: true)
        for sequence in 0..<plan.sequenceCount {
            let adapter = plan.adapter(of: sequence)
            guard adapter >= 0 else { continue }
            let rows = Int(plan.rowStart[sequence])..<Int(plan.rowStart[sequence + 1])
            if let last = runs.last, last.adapter == adapter, last.rows.upperBound == rows.lowerBound {
                runs[runs.count - 1].rows = last.rows.lowerBound..<rows.upperBound
            } else {
                runs.append(Run(adapter: adapter, rows: rows))
            }
        }
    }
}

/// What adapters add to matrix products: every row by itself, in float32 and in one order, behind the model's own product.
extension ForwardWorker {
    /// Floats between rows of `narrow`.
    private var narrowStride: Int { ForwardStep.narrowWidth(step.weights.adapters) }

    /// narrow[row, projection] = down * inputs[row] of every row that has an adapter.
    func narrow(_ group: ProjectionGroup) {
        let rowsPerPart = 24
        let projectionCount = group.projections.count
        let activations = ck_activations(floats: step.buffers.inputs, stride: group.inputs)
        member.share(projectionCount * ((step.rowCount + rowsPerPart - 1) / rowsPerPart)) { part in
            let (block, projection) = part.quotientAndRemainder(dividingBy: projectionCount)
            let rows = block * rowsPerPart..<min(step.rowCount, (block + 1) * rowsPerPart)
            forEachCorrection(of: group, projection, rows) { correction, rows in
                var (matrix, activations) = (correction.down, activations)
                var output = ck_output(
                    y: step.buffers.narrow + projection * step.weights.adapters.rankStride, stride: narrowStride,
                    bias: nil, accumulate: false)
                ck_matmul(
                    &matrix, &activations, rows.lowerBound, rows.count, 0, (matrix.outputs + 15) / 16, &output)
            }
        }
    }

    /// outputs[row] += up * narrow[row, projection] of the part's rows and panels.
    func correct(_ part: MatrixSplit.Part, of group: ProjectionGroup, _ output: ck_output) {
        let activations = ck_activations(
            floats: step.buffers.narrow + part.projection * step.weights.adapters.rankStride, stride: narrowStride)
        forEachCorrection(of: group, part.projection, part.rows) { correction, rows in
            var (matrix, activations, output) = (correction.up, activations, output)
            (output.bias, output.accumulate) = (nil, true)
            ck_matmul(
                &matrix, &activations, rows.lowerBound, rows.count, part.panels.lowerBound, part.panels.count, &output)
        }
    }

    @inline(__always)
    private func forEachCorrection(
        of group: ProjectionGroup, _ projection: Int, _ rows: Range<Int>, _ body: (Correction, Range<Int>) -> Void
    ) {
        for run in step.runs.runs {
            let own = run.rows.clamped(to: rows)
            guard !own.isEmpty,
                let correction = group.corrections[run.adapter * group.projections.count + projection]
            else { continue }
            body(correction, own)
        }
    }
}
