/// Parts of a model that only some families have.
extension ModelConfiguration {
    /// One decoder layer among the others.
    public struct Layer: Sendable, Equatable {
        /// Positions a token attends to, itself the last of them; nil for all before it.
        public var attentionWindow: Int?
        /// Whether the feed-forward block is a mixture of experts.
        public var isMixture = false

        /// A layer like any other.
        public init() {}
    }

    /// The function f in down(f(gate x) · up x).
    public enum Activation: Sendable {
        /// x · sigmoid(x)
        case silu
        /// x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))
        case geluTanh
    }

    /// Multi-head latent attention (DeepSeek-V2): keys and values of all heads are linear in one short latent per token,
    /// beside which there is one rotated key for all heads.
    ///
    /// `headDimension` is `plainDimension` + `rotaryDimension`: the first part is not rotated.
    public struct LatentAttention: Sendable, Equatable {
        /// Length of the latent that queries are made of; nil when they are projected directly.
        public var queryRank: Int?
        /// Length of the latent that keys and values are made of.
        public var keyValueRank: Int
        /// Leading elements of a query and key that are not rotated.
        public var plainDimension: Int
        /// Elements of one head's value.
        public var valueDimension: Int
        /// Epsilon of the latents' RMS norms.
        public var normEpsilon: Float = 1e-6

        /// Describes latents; `queryRank` is nil for queries that are projected directly.
        package init(queryRank: Int?, keyValueRank: Int, plainDimension: Int, valueDimension: Int) {
            self.queryRank = queryRank
            self.keyValueRank = keyValueRank
            self.plainDimension = plainDimension
            self.valueDimension = valueDimension
        }
    }

    /// Feed-forward blocks of which each token uses a few.
    public struct Mixture: Sendable, Equatable {
        /// Number of routed experts.
        public var expertCount: Int
        /// Experts that each token uses; at most `expertCount`.
        public var expertsPerToken: Int
        /// Width of the hidden layer of a routed expert.
        public var expertLength: Int
        /// Width of the hidden layer of the expert that every token uses; 0 when there is none.
        public var sharedLength = 0
        /// Whether the shared expert is weighed by the sigmoid of a product of its own (Qwen2-MoE).
        public var hasSharedGate = false
        /// How the router's products become scores.
        public var scoring = Scoring.softmax
        /// Whether a bias per expert is added to the scores for choosing, not for weighing (DeepSeek-V3).
        public var hasCorrectionBias = false
        /// Equal groups of consecutive experts, of which only `groupsPerToken` can be chosen from.
        public var groupCount = 1
        /// Groups that can be chosen from.
        public var groupsPerToken = 1
        /// What makes a group good.
        public var groupScore = GroupScore.best
        /// Whether the weights of a token's experts are divided by their sum.
        public var normalizesWeights = false
        /// What the weights are multiplied by in the end.
        public var weightScale: Float = 1

        /// Describes routed experts without a shared one.
        package init(expertCount: Int, expertsPerToken: Int, expertLength: Int) {
            self.expertCount = expertCount
            self.expertsPerToken = expertsPerToken
            self.expertLength = expertLength
        }

        /// How the router's products become scores.
        public enum Scoring: Sendable {
            case softmax
            case sigmoid
        }

        /// What makes a group of experts good.
        public enum GroupScore: Sendable {
            /// The score of its best expert.
            case best
            /// The sum of its two best.
            case bestTwo
        }
    }

    /// How rotary frequencies reach beyond the trained context.
    public enum RotaryScaling: Sendable, Equatable {
        case none
        /// Positions divided by `factor`.
        case linear(factor: Float)
        /// Per-frequency divisors from the file (`rope_freqs.weight`, Llama 3.1); count is rotary dimension / 2.
        case perFrequency([Float])
        /// "NTK-aware": beyond `originalContext` the base grows with the position.
        case dynamic(factor: Float, originalContext: Int)
        /// Llama 3.1: long waves are divided by `factor`, short ones kept, those between interpolated.
        case llama3(factor: Float, lowFactor: Float, highFactor: Float, originalContext: Int)
        /// Peng et al., "YaRN".
        case yarn(Yarn)
        /// Ding et al., "LongRoPE": divisors per frequency, other ones from position `originalContext` on.
        case longrope(short: [Float], long: [Float], originalContext: Int, magnitude: Float)
    }

    /// The parameters of YaRN.
    public struct Yarn: Sendable, Equatable {
        /// What long waves are divided by.
        public var factor: Float
        /// Turns within the original context above which a wave is kept.
        public var fastTurns: Float
        /// Turns within the original context below which a wave is divided.
        public var slowTurns: Float
        /// Tokens of the original context.
        public var originalContext: Int
        /// Whether the bounds between kept and divided waves are rounded outwards to whole pairs.
        public var roundsBounds: Bool
        /// What rotated queries and keys are multiplied by, each.
        public var magnitude: Float

        /// Describes a scaling by its parameters.
        package init(
            factor: Float, fastTurns: Float, slowTurns: Float, originalContext: Int, roundsBounds: Bool,
            magnitude: Float
        ) {
            self.factor = factor
            self.fastTurns = fastTurns
            self.slowTurns = slowTurns
            self.originalContext = originalContext
            self.roundsBounds = roundsBounds
            self.magnitude = magnitude
        }
    }
}
