/// A part of the protocol, or a kind of model file, with its property: what must hold for every input whatever. The fuzzer looks for inputs that
/// break one; the tests repeat those that it has kept.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// Bytes to open connections: however they are cut, they mean the same.
    case frames
    /// A server's connection between a hostile client and its own owner.
    case server
    /// A client's connection between a hostile server and its own owner.
    case client
    /// The first bytes of a connection, from either end.
    case handshake
    /// One payload: what is accepted is within the limits, and encoding it loses nothing.
    case messages
    /// A text that may be JSON.
    case json
    /// The source of a chat template.
    case template
    /// `tokenizer.json`, and texts for the tokenizer it describes.
    case tokenizer
    /// The head of a safetensors file.
    case safetensors
    /// A GGUF file.
    case gguf
    /// `config.json`.
    case configuration

    /// The property of which `input` is a counter-example; nil when it is none.
    package func check(_ input: [UInt8]) -> String? {
        do throws(Broken) {
            switch self {
            case .frames: try checkFrames(input)
            case .server: try checkServer(input)
            case .client: try checkClient(input)
            case .handshake: try checkHandshake(input)
            case .messages: try checkMessage(input)
            case .json: try checkJSON(input)
            case .template: try checkTemplate(input)
            case .tokenizer: try checkTokenizer(input)
            case .safetensors: try checkSafetensors(input)
            case .gguf: try checkGGUF(input)
            case .configuration: try checkConfiguration(input)
            }
            return nil
        } catch {
            return error.property
        }
    }
}

/// A property that does not hold.
struct Broken: Error {
    let property: String
}

/// Throws the property unless it holds.
func hold(_ condition: Bool, _ property: @autoclosure () -> String) throws(Broken) {
    if !condition { throw Broken(property: property()) }
}
