internal import Glibc

extension ModelConfiguration {
    /// Radians per position of each rotated pair, scaling applied: (rotaryDimension / 2).
    package var rotaryFrequencies: [Float] {
        let pairs = rotaryDimension / 2
        return (0..<pairs).map { pair in
            let frequency = 1 / pow(rotaryBase, Float(2 * pair) / Float(rotaryDimension))
            return switch rotaryScaling {
            case .none: frequency
            case .linear(let factor): frequency / factor
            case .perFrequency(let divisors): frequency / divisors[pair]
            }
        }
    }
}
