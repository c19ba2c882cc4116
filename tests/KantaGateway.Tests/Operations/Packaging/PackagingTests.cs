using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using KantaGateway.Gateway;
using KantaGateway.Keys;
using KantaGateway.Repository;
using KantaGateway.Tests.Operations.Telemetry;
using Microsoft.Extensions.Configuration;

namespace KantaGateway.Tests.Operations.Packaging;

/// <summary>Compose, cluster and units say what the product knows, agree with one another, and give each part no more than it needs.</summary>
public sealed partial class PackagingTests
{
    /// <summary>What is wrong with settings only because the files of a site are not on this machine.</summary>
    private static readonly string[] OfTheSite = ["no such file", "no such folder", "has no log.key", "a file in a folder that there is", "a folder that there is", "the SHA-256 fingerprint of a certificate in", "one entry for the authority"];

    public static TheoryData<string> Settings => [.. PackagingFiles.Settings];

    [Theory, MemberData(nameof(Settings))]
    public void Every_setting_is_one_that_the_product_knows_and_holds_but_for_the_files_of_the_site(string folder)
    {
        // What a nation gives in the environment.
        var environment = folder == PackagingFiles.Settings[0] ? [] : PackagingFiles.Pods().Where(static one => PackagingFiles.Parts.Contains(one.Name)).SelectMany(static one => Environment(one.Pod)).ToArray();
        var gateway = Bind<GatewayOptions>(folder, "gateway", "Gateway", environment);
        Assert.Equal([], Unexplained(new GatewayOptionsCheck(gateway).Wrong));
        var repository = Bind<RepositoryOptions>(folder, "repository", null, environment);
        Assert.Equal([], Unexplained(Said(() => repository.Validate())));
        var keys = Bind<KeysOptions>(folder, "keys", "Keys", environment);
        Assert.Equal([], Unexplained(Said(() => keys.Validate())));
        // No two listen in one place.
        var listeners = new[] { gateway.MetricsListen, repository.MetricsListen, keys.MetricsListen, repository.Listen, keys.Listen };
        Assert.Equal(listeners.Length, listeners.Distinct().Count());
    }

    [Fact]
    public void A_setting_that_the_product_does_not_know_is_found()
    {
        Assert.Throws<InvalidOperationException>(static () => Bind<GatewayOptions>(PackagingFiles.Settings[0], "gateway", "Gateway", ["KANTA_Gateway__Ports"]));
        Assert.NotEmpty(Unexplained(new GatewayOptionsCheck(Bind<GatewayOptions>(PackagingFiles.Settings[0], "gateway", "Gateway", []) with { Port = 0 }).Wrong));
    }

    [Fact]
    public void Every_variable_of_a_pod_is_a_setting()
    {
        foreach (var (name, pod) in PackagingFiles.Pods())
            foreach (var variable in Environment(pod))
                _ = variable.StartsWith("KANTA_REPOSITORY__", StringComparison.Ordinal)
                    ? (object)Bind<RepositoryOptions>("kubernetes/settings", "repository", null, [variable])
                    : variable.StartsWith("KANTA_Gateway__", StringComparison.Ordinal) ? Bind<GatewayOptions>("kubernetes/settings", "gateway", "Gateway", [variable]) : throw new InvalidOperationException($"{name}: {variable}");
    }

    [Fact]
    public void No_container_has_root_rights_a_disk_or_a_token_of_the_cluster()
    {
        foreach (var (name, pod) in PackagingFiles.Pods())
        {
            Assert.True(pod is { } && Text(pod, "automountServiceAccountToken") == "false" && Text(pod, "securityContext", "runAsNonRoot") == "true" && Text(pod, "securityContext", "seccompProfile", "type") == "RuntimeDefault", name);
            foreach (var container in PackagingFiles.Containers(pod))
                Assert.True(Text(container, "securityContext", "allowPrivilegeEscalation") == "false" && Text(container, "securityContext", "readOnlyRootFilesystem") == "true"
                    && container["securityContext"]!["capabilities"]!["drop"]!.AsArray().Single()!.ToString() == "ALL" && Text(container, "resources", "limits", "memory") is not null, $"{name}: {container["name"]}");
        }
        foreach (var (name, service) in PackagingFiles.Compose)
        {
            Assert.True(Text(service!, "user") == "1654:1654" && Text(service!, "read_only") == "true" && service!["cap_drop"]!.AsArray().Single()!.ToString() == "ALL"
                && service["security_opt"]!.AsArray().Single()!.ToString() == "no-new-privileges:true", name);
            // The gateway alone is on a network.
            Assert.Equal(name == "gateway" ? null : "none", Text(service, "network_mode"));
        }
        var file = File.ReadAllText(Path.Combine(PackagingFiles.Folder, "images", "Containerfile"));
        Assert.Matches("ARG BASE=\\S+-chiseled-extra@sha256:[0-9a-f]{64}\n", file);
        Assert.Contains("USER 1654:1654\n", file);
        Assert.DoesNotContain("\nRUN ", file);
    }

    [Fact]
    public void Ports_and_probes_are_those_of_the_settings()
    {
        var gateway = Bind<GatewayOptions>("kubernetes/settings", "gateway", "Gateway", []);
        Assert.Equal(gateway.Port, Bind<GatewayOptions>("configuration", "gateway", "Gateway", []).Port);
        var port = gateway.Port.ToString(CultureInfo.InvariantCulture);
        Assert.Equal($"443:{port}", PackagingFiles.Compose["gateway"]!["ports"]!.AsArray().Single()!.ToString());
        foreach (var (name, pod) in PackagingFiles.Pods().Where(static one => PackagingFiles.Parts.Contains(one.Name)))
        {
            var part = PackagingFiles.List(pod["containers"]).Single();
            // The key service has nothing behind it that it would not be ready for.
            Assert.Equal(name == "keys" ? "/health/live" : "/health/ready", Text(part, "readinessProbe", "httpGet", "path"));
            Assert.Equal(Text(part, "readinessProbe", "httpGet", "path"), Text(part, "startupProbe", "httpGet", "path"));
            Assert.Equal("/health/live", Text(part, "livenessProbe", "httpGet", "path"));
            var tunnel = File.ReadAllText(Path.Combine(PackagingFiles.Folder, "kubernetes", "tunnel", $"{name}.cfg"));
            var probed = Text(part, "readinessProbe", "httpGet", "port");
            if (name == "gateway")
            {
                Assert.Equal(("https", port), (probed, PackagingFiles.List(part["ports"]).Single(static one => Text(one, "name") == "https")["containerPort"]!.ToString()));
                foreach (var repository in gateway.Repositories.Append(gateway.Keys))
                    Assert.Contains($"bind unix@{repository["unix:".Length..]} ", tunnel);
            }
            else
                Assert.Contains($"bind :{probed}\n", tunnel);
            var metrics = name switch
            {
                "gateway" => gateway.MetricsListen,
                "repository" => Bind<RepositoryOptions>("kubernetes/settings", name, null, []).MetricsListen,
                _ => Bind<KeysOptions>("kubernetes/settings", name, "Keys", []).MetricsListen,
            };
            Assert.Contains($"server here {new Uri(metrics!).Authority}\n", tunnel);
            foreach (var own in PackagingFiles.List(PackagingFiles.List(pod["initContainers"]).Single()["ports"]).Select(static one => one["containerPort"]!.ToString()))
                Assert.Matches($"\n    bind :{own}( |\n)", tunnel);
        }
    }

    /// <summary>Whoever crosses the network shows a certificate; only the cluster's own probes need none, and get the word of health alone.</summary>
    [Fact]
    public void A_tunnel_asks_for_a_certificate_wherever_it_listens_and_wherever_it_goes()
    {
        foreach (var file in Directory.EnumerateFiles(Path.Combine(PackagingFiles.Folder, "kubernetes", "tunnel")))
        {
            var lines = File.ReadAllLines(file).Select(static line => line.Trim()).ToArray();
            Assert.All(lines.Where(static line => line.StartsWith("bind :", StringComparison.Ordinal) && line != "bind :8081"), static line => Assert.Contains(" verify required", line));
            Assert.All(lines.Where(static line => line.StartsWith("server there", StringComparison.Ordinal)), static line => Assert.Matches(" crt .* ca-file .* verify required verifyhost ", line));
            Assert.All(lines.Where(static line => line.StartsWith("server here", StringComparison.Ordinal)), static line => Assert.Matches("^server here (unix@/|127\\.0\\.0\\.1:)", line));
            Assert.Single(lines, static line => line == "bind :8081");
            Assert.Contains(lines, static line => line.StartsWith("http-request deny", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void Nobody_is_killed_while_it_drains()
    {
        foreach (var folder in PackagingFiles.Settings)
        {
            var drain = new Dictionary<string, int>
            {
                ["gateway"] = Bind<GatewayOptions>(folder, "gateway", "Gateway", []).DrainSeconds,
                ["repository"] = Bind<RepositoryOptions>(folder, "repository", null, []).DrainSeconds,
                ["keys"] = 0,
            };
            Assert.True(drain["gateway"] > 0, folder);
            foreach (var part in PackagingFiles.Parts)
            {
                string[] waits = folder == "configuration" ? [Text(PackagingFiles.Compose[part]!, "stop_grace_period")!.TrimEnd('s'), PackagingFiles.Unit(part).Single(static one => one.Key == "TimeoutStopSec").Value]
                    : [Text(PackagingFiles.Pods().Single(one => one.Name == part).Pod, "terminationGracePeriodSeconds")!];
                // What is under way has 30 s more.
                Assert.All(waits, wait => Assert.True(int.Parse(wait, CultureInfo.InvariantCulture) >= drain[part] + 35, $"{folder}: {part}"));
            }
        }
        // Two probes that fail are seen before it has drained.
        var probe = PackagingFiles.List(PackagingFiles.Pods().Single(static one => one.Name == "gateway").Pod["containers"]).Single()["readinessProbe"]!;
        Assert.True(2 * int.Parse(Text(probe, "periodSeconds")!, CultureInfo.InvariantCulture) * int.Parse(Text(probe, "failureThreshold")!, CultureInfo.InvariantCulture) < Bind<GatewayOptions>("kubernetes/settings", "gateway", "Gateway", []).DrainSeconds);
    }

    [Fact]
    public void What_a_pod_mounts_and_a_policy_speaks_of_is_there()
    {
        foreach (var (name, pod) in PackagingFiles.Pods())
        {
            var claims = PackagingFiles.Cluster.Where(one => Text(one, "metadata", "name") == name).SelectMany(static one => PackagingFiles.List(one["spec"]!["volumeClaimTemplates"])).Select(static one => Text(one, "metadata", "name"));
            var volumes = PackagingFiles.List(pod["volumes"]).Select(static one => Text(one, "name")).Concat(claims).ToHashSet();
            Assert.Equal([], PackagingFiles.Containers(pod).SelectMany(static one => PackagingFiles.List(one["volumeMounts"])).Select(static one => Text(one, "name")).Where(mounted => !volumes.Contains(mounted)).Select(mounted => $"{name}: {mounted}"));
        }
        foreach (var part in PackagingFiles.Parts)
        {
            Assert.Contains(PackagingFiles.Cluster, one => Text(one, "kind") == "NetworkPolicy" && Text(one, "spec", "podSelector", "matchLabels", "app.kubernetes.io/name") == part);
            Assert.Contains(PackagingFiles.Cluster, one => Text(one, "kind") == "PodDisruptionBudget" && Text(one, "spec", "selector", "matchLabels", "app.kubernetes.io/name") == part);
        }
        // All that no policy names speaks to nobody.
        Assert.Contains(PackagingFiles.Cluster, static one => Text(one, "kind") == "NetworkPolicy" && one["spec"]!["podSelector"]!.AsObject().Count == 0 && one["spec"]!["policyTypes"]!.AsArray().Count == 2 && one["spec"]!["ingress"] is null && one["spec"]!["egress"] is null);
        Assert.Contains(PackagingFiles.Cluster, static one => Text(one, "kind") == "Namespace" && Text(one, "metadata", "labels", "pod-security.kubernetes.io/enforce") == "restricted");
    }

    [Fact]
    public void Gateways_are_scaled_by_a_metric_that_is_made_of_one_that_the_product_exports()
    {
        var scaler = PackagingFiles.Cluster.Single(static one => Text(one, "kind") == "HorizontalPodAutoscaler");
        var rules = File.ReadAllText(Path.Combine(PackagingFiles.Folder, "kubernetes", "adapter-rules.yaml"));
        Assert.Contains($"as: {scaler["spec"]!["metrics"]![0]!["external"]!["metric"]!["name"]}", rules);
        var known = ObservabilityFiles.Expressions().SelectMany(ObservabilityFiles.MetricsOf).ToHashSet();
        Assert.All(ObservabilityFiles.MetricsOf(MetricsQuery().Match(rules).Groups[1].Value), metric => Assert.Contains(metric, known));
    }

    [Fact]
    public void Units_have_no_rights_that_they_do_not_need()
    {
        foreach (var part in PackagingFiles.Parts)
        {
            var unit = PackagingFiles.Unit(part).ToLookup(static one => one.Key, static one => one.Value);
            foreach (var setting in (string[])["NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateUsers", "ProtectKernelModules", "ProtectKernelTunables", "ProtectControlGroups", "RestrictNamespaces", "RestrictSUIDSGID", "LockPersonality"])
                Assert.Equal("yes", unit[setting].Single());
            Assert.Equal(("strict", "", "kanta", "notify"), (unit["ProtectSystem"].Single(), unit["CapabilityBoundingSet"].Single(), unit["User"].Single(), unit["Type"].Single()));
            // No part sees what another keeps.
            var hidden = unit["InaccessiblePaths"].Single();
            foreach (var folder in PackagingFiles.Parts.Where(other => other != part).SelectMany(static other => PackagingFiles.Unit(other)).Where(static one => one.Key == "StateDirectory").SelectMany(static one => one.Value.Split(' ')))
                Assert.Contains($"-/var/lib/{folder}", hidden.Split(' '));
        }
    }

    [Fact]
    public void Images_units_and_what_is_measured_have_one_word_for_the_memory_of_the_runtime()
    {
        string[] files = ["infra/images/Containerfile", "infra/systemd/kanta-gateway.service", "infra/systemd/kanta-repository.service", "infra/dev/Properties/launchSettings.json", "tests/KantaGateway.Benchmarks/ServerProcess.cs"];
        var said = files.Select(static file => string.Join(' ', MemoryOfTheRuntime().Matches(File.ReadAllText(Path.Combine(Scenarios.Solution.Folder, file))).Select(static one => $"{one.Groups[1].Value}={one.Groups[2].Value}").Order(StringComparer.Ordinal))).ToList();
        Assert.Matches("^GCLOHThreshold=0x[0-9a-f]+ GCgen0size=0x[0-9a-f]+$", said[0]);
        Assert.All(said, one => Assert.Equal(said[0], one));
    }

    private static string? Text(JsonNode node, params ReadOnlySpan<string> path)
    {
        JsonNode? at = node;
        foreach (var name in path)
            at = at?[name];
        return at?.ToString();
    }

    private static IEnumerable<string> Environment(JsonNode pod) => PackagingFiles.Containers(pod).SelectMany(static one => PackagingFiles.List(one["env"])).Select(static one => one["name"]!.ToString());

    /// <summary>As the product's programs read them: unknown keys are an error.</summary>
    private static T Bind<T>(string folder, string part, string? section, IReadOnlyList<string> variables)
    {
        var prefix = section is null ? "KANTA_REPOSITORY__" : "KANTA_" + section + "__";
        var given = variables.Where(name => name.StartsWith(prefix, StringComparison.Ordinal)).ToDictionary(
            name => (section is null ? "" : section + ":") + name[prefix.Length..].Replace("__", ":", StringComparison.Ordinal),
            static name => (string?)(name.Contains("Postgres", StringComparison.Ordinal) ? "Host=/run/postgresql;Username=kanta" : name.EndsWith("Redis", StringComparison.Ordinal) ? "!/run/redis.sock" : "one"));
        var configuration = new ConfigurationBuilder().AddJsonFile(Path.Combine(PackagingFiles.Folder, folder, part + ".json")).AddInMemoryCollection(given).Build();
        return (section is null ? configuration : (IConfiguration)configuration.GetSection(section)).Get<T>(static binder => binder.ErrorOnUnknownConfiguration = true)!;
    }

    private static IEnumerable<string> Unexplained(IEnumerable<string> wrong) => wrong.Where(static one => !OfTheSite.Any(site => one[(one.IndexOf(": ", StringComparison.Ordinal) + 2)..].StartsWith(site, StringComparison.Ordinal)));

    /// <summary>What a part says is wrong, one by one.</summary>
    private static string[] Said(Action validate) => Record.Exception(validate) is { } thrown ? thrown.Message[(thrown.Message.IndexOf(": ", StringComparison.Ordinal) + 2)..].TrimEnd('.').Split("; ") : [];

    [GeneratedRegex("DOTNET_(GC[A-Za-z0-9]*(?:size|Threshold))[\", :=]+(0x[0-9a-f]+)")]
    private static partial Regex MemoryOfTheRuntime();

    [GeneratedRegex("metricsQuery: '(.*)'")]
    private static partial Regex MetricsQuery();
}
