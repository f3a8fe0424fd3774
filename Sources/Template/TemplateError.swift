/// Why a template could not be read or rendered.
package struct TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure this is.
    package enum Kind: Sendable, Equatable {
        /// The source is not a template of the language that is supported.
        case syntax
        /// The template did something with a value that the value does not allow.
        case evaluation
        /// A budget of `TemplateLimits` is used up.
        case limit
        /// The template itself refused the conversation: `raise_exception`.
        case raised
    }

    /// What kind of failure this is.
    package let kind: Kind
    /// Line of the source, from 1.
    package let line: Int
    /// What was wrong and, where it is not plain, what to do about it. Words of a template are cut to 200 bytes.
    package let message: String

    init(_ kind: Kind, line: Int, _ message: String) {
        self.kind = kind
        self.line = line
        self.message = message
    }

    /// For `CustomStringConvertible`.
    package var description: String { "line \(line) of the chat template: \(message)" }
}

/// What a template may take. A template comes with a model and a request brings the values: neither is trusted with
/// more.
package struct TemplateLimits: Sendable {
    /// Bytes of source. The longest templates in use have 30 KiB.
    package var sourceBytes = 256 << 10
    /// Blocks, brackets and operators inside each other in the source.
    package var sourceDepth = 100
    /// Steps of a rendering: an expression, a statement or an element is one, and so are 64 bytes of text.
    package var steps = 1_000_000
    /// Bytes of the rendered text.
    package var outputBytes = 4 << 20
    /// Bytes that a rendering allocates in all, freed ones too, beside `memoryPerInputByte`.
    package var memoryBytes = 6 << 20
    /// What each byte of text in the values adds to `memoryBytes`: templates copy a conversation a few times.
    package var memoryPerInputByte = 16
    /// Expressions, statements and macros under evaluation inside each other: what bounds the stack.
    package var depth = 200
    /// Lists and dictionaries inside each other.
    package var valueDepth = 100

    /// The defaults.
    package init() {}
}
