internal import CKernels

/// One packed matrix and where its outputs stand among those of its group.
struct Projection {
    let matrix: ck_matrix
    /// (outputs rounded up to 16) or nil.
    let bias: UnsafePointer<Float>?
    /// First output column in the rows of the group, a multiple of 16.
    let column: Int

    var panelCount: Int { (matrix.outputs + 15) / 16 }
}

/// Matrices that are applied to the same rows in one stage.
struct ProjectionGroup {
    /// Owned by `PackedWeights`.
    let projections: UnsafeBufferPointer<Projection>
    /// Columns of an output row, padding included.
    let width: Int
    /// What its matrices multiply.
    let form: InputForm
    /// (adapters, projections) what adapters add; empty when none adds anything here. Owned by `PackedWeights`.
    let corrections: UnsafeBufferPointer<Correction?>

    var inputs: Int { projections[0].matrix.k }
}

/// One decoder layer; everything in it lives as long as `PackedWeights`. Nil is what the family does not have.
struct PackedLayer {
    let attentionNorm: UnsafePointer<Float>
    /// Query, key and value; with `latent` the query, or what queries are made of, and the latent.
    let queryKeyValue: ProjectionGroup
    /// (padded head dimension)
    let queryNorm: UnsafePointer<Float>?
    /// (padded head dimension)
    let keyNorm: UnsafePointer<Float>?
    let latent: PackedLatent?
    /// Positions a row sees; 0 for all.
    let window: Int
    let attentionOutput: ProjectionGroup
    let attentionPostNorm: UnsafePointer<Float>?
    let feedForwardNorm: UnsafePointer<Float>
    let feedForward: PackedFeedForward
    let feedForwardPostNorm: UnsafePointer<Float>?
}

/// A block f(gate) · up, then down.
struct PackedBlock {
    /// Gate and up; of a shared expert with a weight of its own that weight's row too.
    let gateUp: ProjectionGroup
    let down: ProjectionGroup
    /// Width of the hidden layer.
    var hidden: Int { down.inputs }
}

/// The feed-forward block of a layer.
enum PackedFeedForward {
    case dense(PackedBlock)
    case mixture(PackedMixture)
}

/// The experts of a layer.
struct PackedMixture {
    let router: ProjectionGroup
    /// (experts)
    let correction: UnsafePointer<Float>?
    let experts: UnsafeBufferPointer<PackedBlock>
    let shared: PackedBlock?
    /// What the matrices that rows meet multiply.
    let form: InputForm
    /// What the experts' second matrices multiply.
    let downForm: InputForm
}

/// Multi-head latent attention with the heads' matrices taken out of the keys and values: a query goes through its
/// head's key matrix, so that it meets latents, and what is attended through the value matrix. The cache then holds
/// one latent and one rotated key for all heads.
struct PackedLatent {
    /// (query rank)
    let queryNorm: UnsafePointer<Float>?
    /// From the normed query latent to the queries of all heads.
    let query: ProjectionGroup?
    /// (rank)
    let norm: UnsafePointer<Float>
    /// Per head: (rank, plain dimension), float32.
    let keys: UnsafeBufferPointer<ck_matrix>
    /// Per head: (value dimension, rank), float32.
    let values: UnsafeBufferPointer<ck_matrix>
}
