/// A pattern as parsed.
indirect enum PatternNode {
    case set(CharacterSet)
    case sequence([PatternNode])
    /// The first alternative that leads to a match wins.
    case choice([PatternNode])
    case repeated(PatternNode, minimum: Int, maximum: Int?, Greed)
    /// Whether the node matches here; consumes nothing.
    case look(PatternNode, isNegative: Bool)
    case boundary(Boundary)

    enum Greed { case greedy, lazy, possessive }

    /// A place between characters.
    enum Boundary {
        /// `^`
        case lineStart
        /// `$`
        case lineEnd
        /// `\A`
        case textStart
        /// `\z`
        case textEnd
        /// `\Z`
        case textEndOrLastLineBreak
    }

    /// Whether the node matches at every place, if only the empty text.
    var cannotFail: Bool {
        switch self {
        case .set, .look, .boundary: false
        case .sequence(let nodes): nodes.allSatisfy(\.cannotFail)
        case .choice(let nodes): nodes.contains(where: \.cannotFail)
        case .repeated(let node, let minimum, _, _): minimum == 0 || node.cannotFail
        }
    }

    /// Whether a match of the node may be empty.
    var mayBeEmpty: Bool {
        switch self {
        case .set: false
        case .look, .boundary: true
        case .sequence(let nodes): nodes.allSatisfy(\.mayBeEmpty)
        case .choice(let nodes): nodes.contains(where: \.mayBeEmpty)
        case .repeated(let node, let minimum, _, _): minimum == 0 || node.mayBeEmpty
        }
    }
}

/// Why a pattern is not run.
package struct PatternError: Error, Equatable {
    /// Characters before the place.
    package let offset: Int
    /// What stands there.
    package let message: String
}
