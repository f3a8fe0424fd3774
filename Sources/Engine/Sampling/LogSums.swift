import Glibc

/// What a device says of all logits of a row, summed in float32.
package struct LogSums: Sendable {
    /// The natural logarithm of the sum over all tokens of exp(logit).
    package var plain: Float
    /// The same of exp(logit / temperature); greedy rows have no temperature.
    package var tempered: Float

    /// Pairs the two.
    package init(plain: Float, tempered: Float) { (self.plain, self.tempered) = (plain, tempered) }
}

/// What the tokens of a row that are no candidates weigh together: bounds, in weights of a token whose logit is `maximum`.
struct RestOfRow {
    let least: Double
    let most: Double

    /// How far a device's logarithm is trusted.
    ///
    /// A sum of n numbers in float32, one added to the other, is off by n · 2^-24 of it at most: 2^-9 allows for chains of
    /// 32,768. A vector unit adds in 64 lanes or more, so that 152,064 logits make chains of 2,376; what exp is off by is
    /// far less. Logits are multiplied by the reciprocal of the temperature and not divided, and the largest is added to
    /// the logarithm: each rounding moves what is as large as the logarithm by 2^-24 of it, and 2^-21 allows for eight.
    private static func error(of logSum: Float) -> Double { 0x1p-9 + Double(abs(logSum)) * 0x1p-21 }

    /// - Parameters:
    ///   - logSum: of all logits divided by the temperature.
    ///   - candidates: the row's largest logits.
    ///   - smallest: the smallest of these.
    ///   - count: how many others there are, none of them above it.
    /// - Returns: nil where the sum is none that these logits can have.
    init?(
        logSum: Float, candidates: [(token: Int32, logit: Float)], smallest: Float, others count: Int, maximum: Float,
        temperature: Float
    ) {
        let (maximum, temperature) = (Double(maximum), Double(temperature))
        func weight(_ logit: Float) -> Double { exp((Double(logit) - maximum) / temperature) }
        let (all, error) = (exp(Double(logSum) - maximum / temperature), exp(Self.error(of: logSum)))
        let known = candidates.reduce(0) { $0 + weight($1.logit) }
        let bound = Double(count) * weight(smallest)
        guard all * error >= known, all / error - known <= bound else { return nil }  // false for NaN as well
        least = max(0, all / error - known)
        most = min(bound, all * error - known)
    }
}
