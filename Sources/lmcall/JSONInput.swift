import LMClient
import LMJSON
import LMSupport

/// Reads what requests are made of from JSON.
enum JSONInput {
    /// Reads a conversation: a JSON array of messages, or an object whose "messages" is one. Members of a message beside
    /// role and content go to the model's chat template.
    static func conversation(path: String) throws(ProgramError) -> [GenerateRequest.Message] {
        let document = try value(of: try InputText.bytes(of: path, limit: PromptInput.byteLimit), source: path)
        guard let list = (document["messages"] ?? document).array else {
            throw ProgramError(.badInput, "\(path): holds \(document.kind); a conversation is an array of messages")
        }
        guard !list.isEmpty else { throw ProgramError(.badInput, "\(path): there is no message in it") }
        var messages: [GenerateRequest.Message] = []
        for (index, element) in list.enumerated() {
            messages.append(try message(element, at: "\(path): message \(index)"))
        }
        return messages
    }

    private static func message(_ value: JSON, at place: String) throws(ProgramError) -> GenerateRequest.Message {
        guard let object = value.object else {
            throw ProgramError(.badInput, "\(place) is \(value.kind); a message is an object with role and content")
        }
        guard let role = object["role"]?.string else {
            throw ProgramError(.badInput, "\(place) has no text as 'role'")
        }
        let content = object["content"] ?? .null
        guard content.string != nil || content.isNull && object.count > 1 else {
            throw ProgramError(.badInput, "\(place) has no text as 'content'")
        }
        var members = JSONObject()
        for (key, value) in object.members where key != "role" && (key != "content" || value.isNull) {
            members.set(key, value)
        }
        return GenerateRequest.Message(
            role: role, content: content.string ?? "", members: members.count == 0 ? nil : JSON.object(members).text)
    }

    /// Reads a file of tools, a JSON array, as it is.
    static func tools(path: String) throws(ProgramError) -> String {
        let bytes = try InputText.bytes(of: path, limit: PromptInput.byteLimit)
        let tools = try value(of: bytes, source: path)
        guard tools.array != nil else {
            throw ProgramError(.badInput, "\(path): holds \(tools.kind); tools are an array of functions")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Checks that a text is a JSON object.
    static func checkObject(_ text: String, source: String) throws(ProgramError) {
        let value = try value(of: Array(text.utf8), source: source)
        guard value.object != nil else { throw .usage("\(source) takes a JSON object, not \(value.kind)") }
    }

    private static func value(of bytes: [UInt8], source: String) throws(ProgramError) -> JSON {
        do throws(JSONError) {
            return try bytes.withUnsafeBufferPointer { bytes throws(JSONError) in
                try JSON(parsing: UnsafeRawBufferPointer(bytes))
            }
        } catch {
            throw ProgramError(.badInput, "\(source): byte \(error.offset): \(error.message)")
        }
    }
}
