/// A word of a template's source.
enum Token: Equatable {
    case data(Text)
    case blockBegin, blockEnd, outputBegin, outputEnd
    case name(String)
    case string(String)
    case integer(Int)
    case number(Double)
    /// An operator or a bracket.
    case sign(String)
    case end

    /// For messages.
    var printed: String {
        switch self {
        case .data: "text"
        case .blockBegin: "'{%'"
        case .blockEnd: "'%}'"
        case .outputBegin: "'{{'"
        case .outputEnd: "'}}'"
        case .name(let name): "'\(name.prefix(80))'"
        case .string(let text): "\"\(text.prefix(80))\""
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .sign(let sign): "'\(sign)'"
        case .end: "the end of the template"
        }
    }
}
