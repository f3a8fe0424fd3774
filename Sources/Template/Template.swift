/// A chat template that was read and can be rendered any number of times, on any thread.
///
/// The language is the part of Jinja 2 that templates of models use, set up as transformers does: line breaks after
/// blocks and space before them are dropped, text is not escaped, and nothing can be imported.
package struct Template: Sendable {
    /// Names whose values are read somewhere in it, its own variables among them.
    package let names: Set<String>
    private let statements: [Statement]
    private let limits: TemplateLimits

    /// Reads a template.
    ///
    /// - Throws: `TemplateError` with the line at which the source is not understood or exceeds a limit.
    package init(_ source: String, limits: TemplateLimits = TemplateLimits()) throws(TemplateError) {
        (statements, names) = try Parser.read(source, limits: limits)
        self.limits = limits
    }

    /// Names that mean something without being given.
    package static let globals = Value.Function.allCases.map(\.rawValue) + ["loop", "caller", "varargs", "kwargs"]

    /// What a template wrote.
    package struct Rendering: Sendable {
        /// The whole text and which of it is content.
        let text: Text
        /// Steps that were taken and bytes that were allocated, of `TemplateLimits`.
        package let steps: Int, memory: Int

        /// The whole text as UTF-8.
        package var bytes: [UInt8] { text.bytes }
        /// Ranges of `bytes` that came with the request, by whatever way: they ascend and do not touch. Only what lies
        /// outside all of them can be a special token.
        package var content: [Range<Int>] { text.content }
    }

    /// Renders the template.
    ///
    /// - Parameters:
    ///   - variables: names and their values; of the same name the last counts.
    ///   - clock: what `strftime_now` tells.
    /// - Throws: `TemplateError`, also when the template itself refuses the values.
    package func render(
        _ variables: [(name: String, value: Value)], clock: TemplateClock
    ) throws(TemplateError) -> Rendering {
        let input = variables.reduce(0) { $0 + $1.value.inputBytes }
        let interpreter = Interpreter(limits: limits, clock: clock, inputBytes: input)
        let text = try interpreter.run(statements, variables)
        return Rendering(text: text, steps: interpreter.steps, memory: interpreter.memory)
    }
}
