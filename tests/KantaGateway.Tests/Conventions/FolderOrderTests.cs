using System.Reflection;
using NetArchTest.Rules;

namespace KantaGateway.Tests.Conventions
{
    /// <summary>Inside the gateway a folder uses only those before it.</summary>
    public sealed class FolderOrderTests
    {
        private static readonly string[] Order = ["Formats", "Faults", "Identification", "Breach", "Consent", "Disclosure", "Forwarding", "Portal", "Operations"];

        private static readonly Assembly Gateway = typeof(KantaGateway.Gateway.GatewayOptions).Assembly;

        [Fact]
        public void Folders_use_only_folders_before_them() => Assert.Equal([], Violations(Gateway, "KantaGateway.Gateway"));

        [Fact]
        public void Every_folder_of_the_gateway_has_its_place_in_the_order()
        {
            string[] known = [.. Order, "bin", "obj", "Properties", "wwwroot"];
            var folder = Path.Combine(Scenarios.Solution.Folder, "gateway", "KantaGateway.Gateway");
            Assert.Equal([], Directory.EnumerateDirectories(folder).Select(Path.GetFileName).Except(known));
        }

        [Fact]
        public void A_planted_violation_is_found()
        {
            var violations = Violations(typeof(FolderOrderTests).Assembly, "KantaGateway.Tests.Conventions.Planted");
            Assert.Equal(["Consent: Early"], violations);
        }

        private static List<string> Violations(Assembly assembly, string root)
        {
            var violations = new List<string>();
            for (var i = 0; i < Order.Length - 1; i++)
            {
                var result = Types.InAssembly(assembly).That().ResideInNamespace($"{root}.{Order[i]}")
                    .ShouldNot().HaveDependencyOnAny([.. Order[(i + 1)..].Select(f => $"{root}.{f}")]).GetResult();
                violations.AddRange((result.FailingTypeNames ?? []).Select(t => $"{Order[i]}: {t[(t.LastIndexOf('.') + 1)..]}"));
            }
            return violations;
        }
    }
}

namespace KantaGateway.Tests.Conventions.Planted.Consent
{
    // Used in a method body only, where a glance at signatures would miss it.
    sealed class Early
    {
        public static string Peek() => new Portal.Late().ToString()!;
    }

    sealed class Lawful
    {
        public static string Peek() => new Early().ToString()!;
    }
}

namespace KantaGateway.Tests.Conventions.Planted.Portal
{
    sealed class Late
    {
        public static string Peek() => new Consent.Early().ToString()!;
    }
}
