/// What suits a model to a task and leaves its weights alone: to the outputs of some of its matrices the product of two
/// narrow ones is added (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models").
public struct Adapter: Sendable {
    /// What requests call it.
    public let name: String
    /// What is added to which matrix; at least one.
    package let products: [TensorRole: LowRankProduct]

    /// Most adapters beside one model: what a listing of them in a reply has room for, and more than anybody trains.
    public static let maximumCount = 256

    package init(name: String, products: [TensorRole: LowRankProduct]) {
        self.name = name
        self.products = products
    }

    /// The largest rank among its products.
    public var rank: Int { products.values.reduce(0) { max($0, $1.rank) } }
    /// Bytes of its matrices once they are float32.
    public var byteCount: Int {
        products.values.reduce(0) { $0 + ($1.down.columns + $1.up.rows) * $1.rank } * MemoryLayout<Float>.stride
    }
}

/// What is added to the outputs of a matrix (outputs, inputs): scale · up (down x).
package struct LowRankProduct: Sendable {
    /// (rank, inputs), "A"
    package let down: Tensor
    /// (outputs, rank), "B"
    package let up: Tensor
    /// What the product is multiplied by.
    package let scale: Float

    /// Numbers between the two matrices.
    package var rank: Int { down.rows }
}

extension Adapter {
    /// The same adapter for a model whose channels were evened out.
    func fitted(to smoothing: Smoothing) -> Adapter {
        var products = products
        for (role, product) in products { products[role] = product.fitted(smoothing, role) }
        return Adapter(name: name, products: products)
    }
}

extension LowRankProduct {
    fileprivate func fitted(_ smoothing: Smoothing, _ role: TensorRole) -> LowRankProduct {
        var (down, up) = (down, up)
        if let factors = smoothing.columnFactors(role) {
            var elements = down.floats()
            for index in elements.indices { elements[index] *= factors[index % factors.count] }
            down = Tensor(name: down.name, floats: elements, rows: down.rows)
        }
        if let divisors = smoothing.rowFactors(role) {
            var elements = up.floats()
            for index in elements.indices { elements[index] /= divisors[index / up.columns] }
            up = Tensor(name: up.name, floats: elements, rows: up.rows)
        }
        return LowRankProduct(down: down, up: up, scale: scale)
    }
}
