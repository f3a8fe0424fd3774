/// The numbers that are left of what an operator computes in float32 when it writes its results: all of them on the CPU,
/// those of a narrower type on a device that keeps activations in one.
struct ReferenceRounding: Sendable {
    let type: TensorType
    /// What matrices of floats round their inputs to.
    var inputs = TensorType.f32

    /// Nothing is rounded.
    static let none = ReferenceRounding(type: .f32)

    func callAsFunction(_ x: Float) -> Float { type.rounded(x) }

    func callAsFunction(_ x: [Float]) -> [Float] { type == .f32 ? x : x.map(type.rounded) }
}
