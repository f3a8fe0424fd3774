import LMEngine
import LMSupport

/// What `lmserve inspect` found.
struct Inspection: Encodable {
    let name: String
    let path: String
    let family: String
    let shape: Shape
    let parameters: Int
    /// Bytes on disk.
    let weightBytes: Int
    /// By type, the largest first.
    let types: [Storage]
    let tokenizer: TokenizerFacts
    let chatTemplate: TemplateFacts?
    /// What the model recommends where a request does not say.
    let sampling: GenerationDefaults
    let contextLength: Int
    let server: Choices

    struct Shape: Encodable {
        let layers: Int
        let embedding: Int
        let heads: Int
        let keyValueHeads: Int
        let headDimension: Int
        let feedForward: Int
        let vocabulary: Int
        /// Experts of a layer, and how many of them a token uses; nil for dense models.
        let experts: Int?
        let expertsPerToken: Int?
        /// Tokens that windowed layers attend to; nil without such layers.
        let attentionWindow: Int?
        let tiedEmbeddings: Bool
    }

    struct Storage: Encodable {
        let type: String
        let tensors: Int
        let bytes: Int
    }

    struct TokenizerFacts: Encodable {
        let kind: String
        let tokens: Int
        let specialTokens: Int
        let beginningOfSequence: Int32?
        let endTokens: [Int32]
    }

    struct TemplateFacts: Encodable {
        let bytes: Int
        /// What keeps the server from using it; nil when nothing does.
        let problem: String?
    }

    /// What the server would do without options about capacity on this machine as it is now.
    struct Choices: Encodable {
        let device: String
        let threads: Int
        let packedWeightBytes: Int
        let keyValueBytesPerToken: Int
        let maxModelLen: Int
        let maxNumSeqs: Int
        let keyValueBytes: Int
        let keyValueTokens: Int
        let memoryBytes: Int
        let availableBytes: Int?
    }
}

extension Inspection {
    /// Asks the checkpoint, whose weights stay untouched.
    init(_ source: ModelSource, _ settings: ModelSettings) throws(EngineError) {
        let checkpoint = source.checkpoint
        let model = checkpoint.configuration
        name = source.name
        path = source.path
        family = model.family.rawValue
        shape = Shape(model)
        parameters = model.parameterCount
        weightBytes = checkpoint.weightByteCount
        types = try Self.types(of: checkpoint)
        tokenizer = TokenizerFacts(checkpoint.tokenizer)
        chatTemplate = checkpoint.chatTemplate.map { TemplateFacts($0) }
        sampling = try GenerationDefaults(modelPath: source.path)
        contextLength = model.contextLength
        server = try Choices(checkpoint, settings)
    }

    /// Roles may share a tensor, each with rows of its own.
    private static func types(of checkpoint: any Checkpoint) throws(EngineError) -> [Storage] {
        var names: [TensorType: Set<String>] = [:]
        var bytes: [TensorType: Int] = [:]
        for role in checkpoint.configuration.tensorRoles {
            let tensor = try checkpoint.tensor(role)
            names[tensor.type, default: []].insert(tensor.name)
            bytes[tensor.type, default: 0] += tensor.bytes.count
        }
        return bytes.map { Storage(type: $0.rawValue, tensors: names[$0]?.count ?? 0, bytes: $1) }
            .sorted { ($0.bytes, $0.type) > ($1.bytes, $1.type) }
    }
}

extension Inspection.Shape {
    fileprivate init(_ model: ModelConfiguration) {
        layers = model.layerCount
        embedding = model.embeddingLength
        heads = model.headCount
        keyValueHeads = model.keyValueHeadCount
        headDimension = model.headDimension
        feedForward = model.feedForwardLength
        vocabulary = model.vocabularySize
        experts = model.mixture?.expertCount
        expertsPerToken = model.mixture?.expertsPerToken
        attentionWindow = model.layers.compactMap(\.attentionWindow).max()
        tiedEmbeddings = model.tiesEmbeddings
    }
}

extension Inspection.TokenizerFacts {
    fileprivate init(_ tokenizer: any Tokenizer) {
        kind = tokenizer is BytePairTokenizer ? "BPE" : "\(type(of: tokenizer))"
        tokens = tokenizer.vocabularySize
        specialTokens = (0..<Int32(tokens)).reduce(0) { $0 + (tokenizer.isSpecial($1) ? 1 : 0) }
        beginningOfSequence = tokenizer.beginningOfSequence
        endTokens = tokenizer.endTokens
    }
}

extension Inspection.TemplateFacts {
    fileprivate init(_ source: ChatTemplateSource) {
        bytes = source.text.utf8.count
        do throws(EngineError) {
            _ = try ChatTemplate(source)
            problem = nil
        } catch {
            problem = error.message
        }
    }
}

extension Inspection.Choices {
    fileprivate init(_ checkpoint: any Checkpoint, _ settings: ModelSettings) throws(EngineError) {
        let options = EngineOptions()
        let model = checkpoint.configuration
        let available = SystemMemory.available()
        let packed = try CPUBackend.packedByteCount(of: checkpoint, dataType: settings.dataType)
        let perToken = try CPUBackend.keyValueBytesPerToken(
            of: checkpoint, dataType: settings.dataType, keyValueDataType: settings.keyValueDataType)
        // The pool is sized when the weights are there already.
        let capacity = try EngineCapacity(
            options: options, contextLength: model.contextLength, bytesPerToken: perToken,
            keyValueMemory: available.map { EngineCapacity.keyValueShare(of: max(0, $0 - packed)) })
        device = "cpu"
        threads = availableProcessorCount()
        maxModelLen = capacity.maxModelLength
        maxNumSeqs = options.maxNumSeqs
        keyValueBytes = capacity.keyValueCacheBytes
        keyValueTokens = capacity.keyValueTokens
        packedWeightBytes = packed
        keyValueBytesPerToken = perToken
        memoryBytes = packed + capacity.keyValueCacheBytes
        availableBytes = available
    }
}
