import Glibc
import LMClient
import ProgramKit
import TestKit
import Testing

extension RealModelTests {
    /// What the product promises beyond an answer, with the real model, the real server and the client library.
    @Suite struct GuaranteeTests {
        private func client(_ server: Server, window: Int = 64) throws -> LMClient {
            var configuration = ClientConfiguration(endpoint: server.address)
            configuration.window = window
            return try LMClient(configuration)
        }

        /// Every third request draws with a seed, the others are greedy.
        private func request(_ index: Int, tokens: Int = 24) -> GenerateRequest {
            let topics = ["rivers", "the number \(index)", "a red house", "why leaves fall", "Paris", "a short story"]
            var request = GenerateRequest("Tell me about \(topics[index % topics.count]) in \(index + 3) words.")
            request.sampling.temperature = index % 3 == 0 ? 0.9 : 0
            request.sampling.seed = UInt64(index)
            request.stop.maxTokens = tokens
            request.stop.ignoresEndOfSequence = true
            return request
        }

        @Test("32 requests at once equal, token for token, the same requests alone", arguments: ["auto", "int8"])
        func concurrent(cacheType: String) async throws {
            let server = try Server(["--kv-cache-dtype", cacheType])
            let client = try client(server)
            defer { client.shutdown() }
            var alone: [[Int32]] = []
            for index in 0..<32 {
                alone.append(try await client.generate(request(index)).collect().tokens.map(\.id))
            }
            let together = try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
                for index in 0..<32 {
                    group.addTask {
                        (index, try await client.generate(request(index)).collect().tokens.map(\.id))
                    }
                }
                return try await group.reduce(into: [[Int32]](repeating: [], count: 32)) { $0[$1.0] = $1.1 }
            }
            #expect(together == alone)
        }

        @Test("a reader of three tokens a second with credit 8 never has 9 ahead, while others run on")
        func slowReader() async throws {
            let server = try Server()
            let slow = try client(server, window: 8)
            let others = try client(server)
            defer {
                slow.shutdown()
                others.shutdown()
            }
            let busy = Task { [self] in
                var tokens = 0
                for index in 2... {
                    guard let answer = try? await others.generate(request(index, tokens: 50)).collect() else { break }
                    tokens += answer.tokens.count
                }
                return tokens
            }
            var consumed: [UInt64] = []
            for try await token in try await slow.generate(request(1, tokens: 20)) {
                if token.index >= 8 {
                    let freed = consumed[Int(token.index) - 8]
                    #expect(
                        token.arrival > freed, "token \(token.index) came before token \(token.index - 8) was consumed")
                }
                consumed.append(LMClient.now)
                // Not a wait for something to happen: the pace is the test.
                try await Task.sleep(for: .milliseconds(333))
            }
            #expect(consumed.count == 20)
            busy.cancel()
            let tokens = await busy.value
            #expect(tokens > 50, "the others had \(tokens) tokens meanwhile")
        }

        @Test("1,000 random cancels and disconnects under load leave nothing behind")
        func churn() async throws {
            // A small pool: its memory, touched as it is first used, is all in use after the first round.
            let server = try Server(["--kv-cache-memory", "48MiB"])
            try await fillStep(server)
            try await leaveEarly(server, workers: 8, times: 40)
            let before = try Footprint(of: server.process.id)
            try await leaveEarly(server, workers: 8, times: 125)
            // Streams whose connection was cut are kept for a while, in case their client comes back.
            while try server.statistic("kv_blocks_owned") != 0 { usleep(20_000) }
            let free = try #require(try server.statistic("kv_blocks_free"))
            let cached = try #require(try server.statistic("kv_blocks_cached"))
            #expect(try server.statistic("kv_blocks_total") == free + cached)
            #expect(try server.statistic("requests_failed_total") == 0)
            let after = try Footprint(of: server.process.id)
            #expect(after.descriptors <= before.descriptors, "\(before) before, \(after) after")
            #expect(after.residentKiB < before.residentKiB + 8 * 1024, "\(before) before, \(after) after")
        }

        /// Has the server read a prompt that fills a step, whose memory grows with the largest.
        private func fillStep(_ server: Server) async throws {
            let client = try client(server)
            defer { client.shutdown() }
            var request = GenerateRequest(String(repeating: "word ", count: 700))
            request.stop.maxTokens = 1
            _ = try await client.generate(request).collect()
        }

        private func leaveEarly(_ server: Server, workers: Int, times: Int) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<workers {
                    group.addTask { try await leaveEarly(server, times: times, seed: UInt64(worker)) }
                }
                try await group.waitForAll()
            }
        }

        /// Starts requests and leaves each in one of four ways, somewhere between the first instant and the tenth token.
        private func leaveEarly(_ server: Server, times: Int, seed: UInt64) async throws {
            var random = TestRandom(seed: seed)
            var client = try client(server)
            for index in 0..<times {
                let tokens = Int.random(in: 0...9, using: &random)
                let task = Task { [client] in
                    let stream = try await client.generate(request(index, tokens: 400))
                    for try await token in stream where token.index >= UInt32(tokens) { break }
                }
                switch Int.random(in: 0...3, using: &random) {
                case 0:
                    try await Task.sleep(for: .milliseconds(Int.random(in: 0...60, using: &random)))
                    task.cancel()
                case 1:
                    try await Task.sleep(for: .milliseconds(Int.random(in: 0...60, using: &random)))
                    client.shutdown()
                    client = try self.client(server)
                default: break
                }
                _ = await task.result
            }
            client.shutdown()
        }
    }
}
