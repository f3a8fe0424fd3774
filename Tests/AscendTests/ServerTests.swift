import Foundation
import LMEngine
import ProgramKit
import TestKit
import Testing

extension SimulatedDevice {
    /// `lmserve` with a device that is not there, or is the simulated one.
    @Suite("Serving from an NPU")
    struct ServerTests {
        /// Programs inherit the settings of the simulated device.
        init() throws { try AscendSimulator.restart() }

        private static let simulator = try? Programs.path("libAscendSim.so")

        /// A small model that the NPU's operators take.
        static func folder(_ name: String = "qwen3, biases, untied") throws -> TemporaryFolder {
            let models = try FamilyModel.all()
            let model = try #require(models.first { $0.name == name })
            return try model.folder(storage: .bfloat16)
        }

        static func start(
            _ folder: TemporaryFolder, _ settings: [String: String] = [:], _ options: [String] = [],
            programs: String = "/bin"
        ) throws -> Server {
            let library = try #require(simulator)
            let assignments = settings.map { "LM_ASCENDSIM_\($0)='\($1)'" }.joined(separator: " ")
            return try Server(
                options + ["--kv-cache-memory", "1MiB"], model: folder.path,
                shell: "LM_ASCEND_LIBRARY='\(library)' PATH='\(programs)':\"$PATH\" \(assignments) exec \"$@\"")
        }

        private static let question = ["--raw", "--ids", "5,17,3,60,2", "--temperature", "0", "--max-tokens", "24"]

        private func answer(_ server: Server) throws -> ChildProcess.Outcome {
            try Programs.run("lmcall", Self.question, environment: ["LMCALL_HOST": server.address])
        }

        @Test("Without CANN, npu ends at once with what was looked for and where; auto takes the CPU and says why")
        func absent() throws {
            let folder = try Self.folder()
            let nowhere = ["LM_ASCEND_LIBRARY": "", "ASCEND_HOME_PATH": "/nonexistent/ascend"]
            let refused = try Programs.run(
                "lmserve", ["--model", "/nonexistent", "--device", "npu"], environment: nowhere)
            #expect(refused.status == 1)
            #expect(refused.errors.split(separator: "\n").count == 1, "\(refused.errors)")
            #expect(refused.errors.hasPrefix("lmserve: --device npu: found no libascendcl.so or libacl_rt.so"))
            #expect(refused.errors.contains("/nonexistent/ascend/lib64"))
            let server = try Server(
                ["--device", "auto"], model: folder.path,
                shell: "LM_ASCEND_LIBRARY= ASCEND_HOME_PATH=/nonexistent/ascend exec \"$@\"")
            let answered = try answer(server)
            #expect(answered.status == 0)
            server.process.send(SIGTERM)
            let errors = try server.process.finish().errors
            #expect(errors.contains("device: cpu (no Ascend NPU: found no libascendcl.so"), "\(errors)")
        }

        @Test("A library without a device is told from none")
        func noDevice() throws {
            let library = try #require(Self.simulator)
            let outcome = try Programs.run(
                "lmserve", ["--model", "/nonexistent", "--device", "npu"],
                environment: [
                    "LM_ASCEND_LIBRARY": library, "LM_ASCENDSIM_FAULTS": "fail call=aclrtGetDeviceCount code=507899",
                ])
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("found CANN, but no NPU: aclrtGetDeviceCount returned 507899"))
        }

        @Test(
            "Every release that is simulated gives the same answer, captured or not, and auto finds the device",
            arguments: ["qwen3, biases, untied", "qwen3-moe, weights of sum one"])
        func releases(_ model: String) throws {
            let folder = try Self.folder(model)
            var answers: Set<String> = []
            for (release, option) in [
                ("9.1", "--enforce-eager"), ("9.1", "--device=auto"), ("8.5", "--device=npu"), ("8.1", "--device=npu"),
            ] {
                let server = try Self.start(folder, ["CANN": release], [option])
                let outcome = try answer(server)
                #expect(outcome.status == 0, "\(outcome.errors)")
                answers.insert(outcome.output)
                server.process.send(SIGTERM)
                let errors = try server.process.finish().errors
                #expect(errors.contains("back end: NPU 0, Ascend910B3, bfloat16 KV cache"), "\(errors)")
                #expect(!errors.contains("NPU: "), "\(errors)")
            }
            #expect(answers.count == 1)
            #expect(answers.first?.isEmpty == false)
        }

        @Test("Without aclnnTopk sampled answers are the same, from whole logits, and that is said once")
        func withoutTopK() throws {
            let folder = try Self.folder()
            let sampled = [
                "--raw", "--ids", "5,17,3,60,2", "--temperature", "0.8", "--top-k", "5", "--seed", "7", "--max-tokens",
                "24",
            ]
            func answers(_ settings: [String: String]) throws -> (outputs: [String], errors: String) {
                let server = try Self.start(folder, settings)
                let outcomes = try (0..<2).map { _ in
                    try Programs.run("lmcall", sampled, environment: ["LMCALL_HOST": server.address])
                }
                for outcome in outcomes { #expect(outcome.status == 0, "\(outcome.errors)") }
                server.process.send(SIGTERM)
                return (outcomes.map(\.output), try server.process.finish().errors)
            }
            let trace = folder.path + "/trace"
            let (whole, absent) = (try answers([:]), try answers(["ABSENT": "aclnnTopk", "TRACE": trace]))
            #expect(whole.outputs == absent.outputs && whole.outputs[0] == whole.outputs[1])
            let notices = absent.errors.split(separator: "\n").filter { $0.contains("lacks aclnnTopk") }
            #expect(notices.count == 1, "\(absent.errors)")
            #expect(!whole.errors.contains("aclnnTopk"))
            let calls = try String(contentsOfFile: trace, encoding: .utf8)
            #expect(!calls.contains("aclnnTopk") && calls.contains("aclmdlRIExecuteAsync"))
            let doctor = try Programs.run(
                "lmserve", ["doctor", "--npu"],
                environment: [
                    "LM_ASCEND_LIBRARY": try #require(Self.simulator), "LM_ASCENDSIM_ABSENT": "aclnnTopk,aclnnSwiGlu",
                ])
            let lines = doctor.output.split(separator: "\n")
            #expect(lines.contains { $0.hasPrefix("ok    Topk") && $0.contains("all logits are copied") })
            #expect(lines.contains { $0.hasPrefix("FAIL  SwiGlu") && $0.hasSuffix("none of SwiGlu") })
        }

        @Test("Without aclnnLogSumExp, answers with top-p are the same, from whole logits, and that is said once")
        func withoutSums() throws {
            let folder = try Self.folder()
            let sampled = [
                "--raw", "--ids", "5,17,3,60,2", "--temperature", "0.3", "--top-p", "0.8", "--seed", "7",
                "--max-tokens",
                "24",
            ]
            var outputs: Set<String> = []
            for absent in ["", "aclnnLogSumExp", "aclnnMul"] {
                let trace = "\(folder.path)/trace\(absent)"
                let server = try Self.start(folder, ["ABSENT": absent, "TRACE": trace])
                let outcome = try Programs.run("lmcall", sampled, environment: ["LMCALL_HOST": server.address])
                #expect(outcome.status == 0, "\(outcome.errors)")
                outputs.insert(outcome.output)
                server.process.send(SIGTERM)
                let errors = try server.process.finish().errors
                let notices = errors.split(separator: "\n").filter { $0.contains("top-p or log-probabilities") }
                #expect(notices.count == (absent.isEmpty ? 0 : 1), "\(errors)")
                #expect(notices.allSatisfy { $0.contains("lacks \(absent):") })
                let calls = try String(contentsOfFile: trace, encoding: .utf8)
                #expect(calls.contains("aclnnTopk") == absent.isEmpty)
                #expect(calls.contains("aclnnLogSumExp") == absent.isEmpty)
            }
            #expect(outputs.count == 1)
        }

        @Test("Matrices lie in tiles where CANN has what that takes, and the answers are the same")
        func tiles() throws {
            let folder = try Self.folder()
            var answers: Set<String> = []
            for (settings, option, isTiled) in [
                ([:], "all", true), ([:], "int8", false), ([:], "none", false),
                (["ABSENT": "aclnnTransMatmulWeight"], "all", false), (["CANN": "8.1"], "all", false),
                (["SOC": "Ascend910B4"], "all", true),
            ] {
                let server = try Self.start(folder, settings, ["--nz-weights", option])
                answers.insert(try answer(server).output)
                server.process.send(SIGTERM)
                let errors = try server.process.finish().errors
                #expect(errors.contains(", matrices in NZ") == isTiled, "\(settings) \(option): \(errors)")
            }
            #expect(answers.count == 1 && answers.first?.isEmpty == false)
        }

        @Test("An 8-bit cache is refused where the NPU was asked for, and takes the CPU where it was not")
        func integerCache() throws {
            let folder = try Self.folder()
            let refused = try Programs.run(
                "lmserve", ["--model", folder.path, "--device", "npu", "--kv-cache-dtype", "int8"],
                environment: ["LM_ASCEND_LIBRARY": try #require(Self.simulator)])
            #expect(refused.status == 65, "\(refused.errors)")
            #expect(refused.errors.contains("--kv-cache-dtype int8 works on the CPU only; use --device cpu"))
            let server = try Self.start(folder, [:], ["--device=auto", "--kv-cache-dtype=int8"])
            #expect(try answer(server).status == 0)
            server.process.send(SIGTERM)
            let errors = try server.process.finish().errors
            #expect(errors.contains("int8 KV cache") && errors.contains("works on the CPU only"), "\(errors)")
        }

        @Test("A device lost in the middle of an answer costs time and no token; the server lives")
        func lost() throws {
            let folder = try Self.folder()
            let sound = try Self.start(folder)
            let expected = try answer(sound)
            let server = try Self.start(folder, ["FAULTS": "fail call=aclmdlRIExecuteAsync nth=9 code=507015"])
            #expect(try answer(server).output == expected.output)
            #expect(try answer(server).output == expected.output)
            #expect(try server.statistic("steps_failed_total") == 1)
        }

        /// What the statistics have of the device, once it was read.
        private func readings(_ server: Server) throws -> [String: UInt64] {
            for _ in 0..<50 where try server.statistic("device_temperature_celsius") == nil { usleep(100_000) }
            return try server.statistics().filter { $0.key.hasPrefix("device_") }
        }

        @Test("Statistics have what the device tells of itself")
        func readings() throws {
            let readings = try readings(Self.start(Self.folder()))
            #expect(readings.count == 7)
            #expect(readings["device_memory_total_bytes"] == 62 << 30)
            #expect(readings["device_memory_used_bytes"].map { (1 << 20..<1 << 30).contains($0) } == true)
            #expect(readings["device_temperature_celsius"] == 42 && readings["device_power_milliwatts"] == 90_000)
            #expect(readings["device_health"] == 0)
            for unit in ["cube", "vector"] {
                #expect(readings["device_\(unit)_utilization_percent"].map { $0 <= 100 } == true)
            }
        }

        @Test("Of several NPUs, also those of copies, each is told by its number, and the first as one alone is")
        func readingsOfAll() throws {
            let folder = try Self.folder("qwen3-moe, weights of sum one")
            let options = ["--tensor-parallel-size", "2", "--data-parallel-size", "2"]
            let server = try Self.start(folder, [:], options)
            for _ in 0..<50 where try server.statistic("device_3_temperature_celsius") == nil { usleep(100_000) }
            let readings = try readings(server)
            #expect(readings.count == 7 + 4 * 7)
            for number in 0..<4 {
                #expect(readings["device_\(number)_temperature_celsius"] == 42 + UInt64(number))
                #expect(readings["device_\(number)_memory_total_bytes"] == 62 << 30)
            }
            #expect(readings["device_temperature_celsius"] == 42)
        }

        @Test("Without the management library npu-smi is asked; without both nothing is said")
        func readingsOfProgram() throws {
            let folder = try Self.folder()
            let programs = try TemporaryFolder()
            let program = """
                #!/bin/sh
                echo "| 3     910B3        | Warning       | 92.9        43                0    / 0             |"
                echo "| 0                  | 0000:C1:00.0  | 17          0    / 0          3161 / 65536         |"

                """
            try programs.write("npu-smi", Array(program.utf8))
            chmod(programs.path + "/npu-smi", 0o755)
            let server = try Self.start(folder, ["DCMI": "0"], programs: programs.path)
            #expect(
                try readings(server) == [
                    "device_memory_used_bytes": 3_161 << 20, "device_memory_total_bytes": 65_536 << 20,
                    "device_cube_utilization_percent": 17, "device_temperature_celsius": 43,
                    "device_power_milliwatts": 92_900, "device_health": 1,
                ])
            // Of a second one the table says nothing.
            let two = try Self.start(
                folder, ["DCMI": "0"], ["--data-parallel-size", "2"], programs: programs.path)
            for _ in 0..<50 where try two.statistic("device_0_temperature_celsius") == nil { usleep(100_000) }
            let both = try readings(two)
            #expect(both["device_temperature_celsius"] == 43 && both["device_0_temperature_celsius"] == 43)
            #expect(both["device_1_temperature_celsius"] == nil)
            let silent = try Self.start(folder, ["DCMI": "0"])
            _ = try answer(silent)
            #expect(try silent.statistics().keys.contains { $0.hasPrefix("device_") } == false)
        }

        @Test("Several NPUs answer, and when one is lost in the middle of an answer, give the same")
        func division() throws {
            let folder = try Self.folder("qwen3-moe, weights of sum one")
            for options in [
                ["--tensor-parallel-size", "2"],
                ["--tensor-parallel-size", "2", "--enable-expert-parallel", "--flashcomm", "2"],
            ] {
                let sound = try Self.start(folder, [:], options)
                let expected = try answer(sound)
                #expect(expected.status == 0, "\(expected.errors)")
                let server = try Self.start(folder, ["FAULTS": "lost after=150"], options)
                #expect(try answer(server).output == expected.output)
                #expect(try answer(server).output == expected.output)
                #expect(try server.statistic("steps_failed_total") == 1)
                server.process.send(SIGTERM)
                let errors = try server.process.finish().errors
                #expect(errors.contains("back end: NPUs 0 to 1, Ascend910B3, bfloat16 KV cache"), "\(errors)")
            }
        }

        @Test("Copies of a model on NPUs of their own give one answer")
        func copies() throws {
            let folder = try Self.folder("qwen3-moe, weights of sum one")
            let one = try Self.start(folder, [:], ["--tensor-parallel-size", "2"])
            let expected = try answer(one)
            let server = try Self.start(folder, [:], ["--tensor-parallel-size", "2", "--data-parallel-size", "2"])
            for _ in 0..<2 { #expect(try answer(server).output == expected.output) }
            server.process.send(SIGTERM)
            let errors = try server.process.finish().errors
            #expect(errors.contains("NPUs 0 to 1") && errors.contains("NPUs 2 to 3"), "\(errors)")
        }

        @Test(
            "Of two copies one whose device stays lost fails what it has, to be tried again; the other answers from then on"
        )
        func lostCopy() throws {
            let folder = try Self.folder()
            let options = ["--data-parallel-size", "2"]
            let expected = try answer(Self.start(folder, [:], options))
            let server = try Self.start(
                folder, ["FAULTS": "lost after=60; fail call=aclrtSetDevice nth=3 every=true code=207004"], options)
            let first = try answer(server)
            #expect(
                first.output == expected.output || first.errors.contains("the device is not there"), "\(first.errors)")
            for _ in 0..<3 { #expect(try answer(server).output == expected.output) }
            #expect(try server.statistic("requests_failed_total") == 1)
        }

        @Test("Options for several NPUs are refused on the CPU, and where there are too few")
        func tooFew() throws {
            let folder = try Self.folder("qwen3-moe, weights of sum one")
            for option in [
                ["--tensor-parallel-size", "2"], ["--data-parallel-size", "2"], ["--enable-expert-parallel"],
                ["--flashcomm", "8"],
            ] {
                let outcome = try Programs.run("lmserve", ["--model", folder.path, "--device", "cpu"] + option)
                #expect(outcome.status == 2)
                #expect(
                    outcome.errors.contains("\(option[0]) is for several NPUs, but the device is cpu"),
                    "\(outcome.errors)")
            }
            let library = try #require(Self.simulator)
            let outcome = try Programs.run(
                "lmserve",
                [
                    "--model", folder.path, "--device", "npu", "--tensor-parallel-size", "2", "--data-parallel-size",
                    "2",
                ],
                environment: ["LM_ASCEND_LIBRARY": library, "LM_ASCENDSIM_DEVICES": "3"])
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains("needs 4 NPUs, but this process sees 3"), "\(outcome.errors)")
        }

        @Test("The doctor finds every operator on a sound device, compares logits, and names what is missing")
        func doctor() throws {
            let library = try #require(Self.simulator)
            let folder = try Self.folder()
            let arguments = ["doctor", "--npu", "--model", folder.path]
            let sound = try Programs.run("lmserve", arguments, environment: ["LM_ASCEND_LIBRARY": library])
            #expect(sound.status == 0, "\(sound.output)\(sound.errors)")
            #expect(sound.output.contains("device 0") && sound.output.contains("logits of"))
            #expect(!sound.output.contains("FAIL"))
            let wrong = try Programs.run(
                "lmserve", arguments,
                environment: ["LM_ASCEND_LIBRARY": library, "LM_ASCENDSIM_FAULTS": "nan op=aclnnSwiGlu row=31"])
            #expect(wrong.status == 1 && wrong.output.contains("FAIL"), "\(wrong.output)")
            let nothing = try Programs.run(
                "lmserve", ["doctor", "--npu"], environment: ["LM_ASCEND_LIBRARY": "/nonexistent.so"])
            #expect(nothing.status == 1)
            #expect(nothing.output.contains("FAIL  runtime") && nothing.output.contains("/nonexistent.so"))
        }

        @Test("A model that the NPU does not run goes to the CPU with auto, and is refused by name with npu")
        func refusals() throws {
            let library = try #require(Self.simulator)
            let tiny = try TinyModelFile()
            let outcome = try Programs.run(
                "lmserve", ["--model", tiny.path, "--device", "npu"], environment: ["LM_ASCEND_LIBRARY": library])
            #expect(outcome.status == 65)
            #expect(outcome.errors.contains("which the NPU back end does not run"), "\(outcome.errors)")
        }
    }
}
