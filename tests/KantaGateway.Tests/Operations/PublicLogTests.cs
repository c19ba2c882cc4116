using System.CommandLine;
using System.Text.Json;
using KantaGateway.Audit.Witnessing;
using KantaGateway.Harness.Clients;
using KantaGateway.Harness.Verification;
using KantaGateway.Tests.Audit;
using KantaGateway.Tests.Scenarios;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace KantaGateway.Tests.Operations;

/// <summary>The audit log's public face, as anybody reads it, and <c>verify-log</c> on it.</summary>
[Collection(SharedHostCollection.Name)]
public sealed class PublicLogTests(SharedHost host) : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("0/0"), InlineData("00/000"), InlineData("64/000"), InlineData("0/x000/001"), InlineData("0/000.p/0"), InlineData("0/000.p/256"), InlineData("0/000.p/01"), InlineData("-1/000"), InlineData("entries/x"), InlineData("0/000/")]
    [InlineData("0/%2e%2e/000"), InlineData("entries/000.p/1/2"), InlineData("0"), InlineData("data/000"), InlineData("0/x999/x999/x999/x999/x999/x999/x999/999"), InlineData("0/٠٠٠"), InlineData("..%2f..%2flog.key")]
    public Task A_path_that_is_none_is_refused(string path) => IsRefusedAsync(path, 400);

    [Theory]
    [InlineData("0/x999/999"), InlineData("0/x009/x999/999.p/255"), InlineData("entries/x999/999"), InlineData("1/x999/000.p/1"), InlineData("7/000"), InlineData("8/000"), InlineData("63/000.p/1"), InlineData("3/000.p/1")]
    public Task A_tile_that_never_existed_is_refused(string path) => IsRefusedAsync(path, 404);

    [Fact]
    public async Task A_partial_tile_wider_than_the_tree_is_refused_and_that_of_its_size_is_given()
    {
        using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
        await clinic.System.SearchAsync("Observation", "patient=none");
        var size = await SizeAsync(clinic);
        var (tile, width) = Math.DivRem(size, 256);
        // Others use the host too: the tree may grow under this, but not by so many.
        await IsRefusedAsync($"0/{tile + 1:000}.p/255", 404);
        if (width > 0)
            foreach (var (level, bytes) in new[] { ("0", 32), ("entries", 66) })
            {
                var given = await clinic.SendAsync(HttpMethod.Get, $"/audit/log/tile/{level}/{tile:000}.p/{width}");
                Assert.Equal(200, given.Status);
                Assert.Equal(width * bytes, given.Body.Length);
            }
    }

    [Fact]
    public async Task Verify_log_finds_a_running_gateways_log_as_it_must_be()
    {
        using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
        var address = new Uri(host.Target, "/audit/log").ToString();
        string[] known = ["--vkey", host.Folder.File("audit.vkey"), "--state", _folder.File("state"), "--authority", host.Folder.File("ca.pem"), "--witness-policy", host.Folder.File("witness-policy")];
        await clinic.System.SearchAsync("Observation", "patient=none");
        var (code, said) = await VerifyAsync([address, .. known]);
        Assert.True(code == 0, said);
        Assert.Contains("The log is what it has signed.", said, StringComparison.Ordinal);
        // Whoever of the three is late is not waited for.
        Assert.Matches(@"cosigned by witness\.example/w[12], witness\.example/w[23]", said);
        await clinic.System.SearchAsync("Observation", "patient=none");
        (code, said) = await VerifyAsync([address, .. known]);
        Assert.True(code == 0, said);
        Assert.Contains("entries verified before", said, StringComparison.Ordinal);
        // Of somebody who asks for a witness that there is not.
        await File.WriteAllTextAsync(_folder.File("stricter"), (await File.ReadAllTextAsync(host.Folder.File("witness-policy"))).Replace("quorum two-of-three", $"witness other {new WitnessVerifier("other", host.Folder.AuditLog.PublicKey)}\ngroup strict all two-of-three other\nquorum strict", StringComparison.Ordinal));
        (code, said) = await VerifyAsync([address, .. known[..^1], _folder.File("stricter")]);
        Assert.Equal(1, code);
        Assert.Matches("UNWITNESSED: [23] of 4", said);
    }

    [Fact]
    public async Task Verify_log_names_what_it_finds_and_says_so_by_its_exit_code()
    {
        using var log = new StagedLog(600);
        await using var server = await ServeAsync(log);
        var address = server.Urls.Single() + "/some/log/";
        string[] known = ["--vkey", log.Verifier.ToString(), "--state", _folder.File("state")];
        var (code, said) = await VerifyAsync([address, .. known]);
        Assert.True(code == 0, said);
        log.Publish([.. log.Leaves.Take(100), .. log.Leaves.Skip(101), StagedLog.NewLeaf(), StagedLog.NewLeaf()]);
        (code, said) = await VerifyAsync([address, .. known]);
        Assert.Equal(1, code);
        Assert.Contains("FORKED: ", said, StringComparison.Ordinal);
        Assert.Contains("DROPPED: entry 100 was dropped", said, StringComparison.Ordinal);

        // Nothing is known where the log does not answer, or not as it should.
        Assert.Equal(2, (await VerifyAsync([server.Urls.Single() + "/broken/", .. known])).Code);
        Assert.Equal(2, (await VerifyAsync(["http://192.0.2.1/log", .. known])).Code);
        Assert.Equal(2, (await VerifyAsync([address, "--vkey", "none", "--state", _folder.File("other")])).Code);
        Assert.Equal(2, (await VerifyAsync([address, "--vkey", host.Folder.AuditLog.ToString(), "--state", _folder.File("state")])).Code);
    }

    private async Task IsRefusedAsync(string path, int status)
    {
        using var clinic = ClinicClient.Open(host.Folder, "aurora", host.Target);
        var files = Files();
        var refused = await clinic.SendAsync(HttpMethod.Get, "/audit/log/tile/" + path);
        Assert.Equal(status, refused.Status);
        Assert.Equal("no-store", refused.Headers["Cache-Control"]);
        Assert.False(string.IsNullOrEmpty(JsonDocument.Parse(refused.Text).RootElement.GetProperty("detail").GetString()));
        Assert.Equal([], Files().Except(files));

        // Rows and tiles grow with what others do; no new place appears.
        HashSet<string> Files() => [.. Directory.EnumerateFileSystemEntries(host.Folder.Path, "*", SearchOption.AllDirectories).Where(f => f.Contains($"{Path.DirectorySeparatorChar}tile{Path.DirectorySeparatorChar}", StringComparison.Ordinal))];
    }

    private static async Task<long> SizeAsync(ClinicClient clinic) =>
        long.Parse((await clinic.SendAsync(HttpMethod.Get, "/audit/log/checkpoint")).Text.Split('\n')[1], System.Globalization.CultureInfo.InvariantCulture);

    private static async Task<(int Code, string Said)> VerifyAsync(string[] arguments)
    {
        using var said = new StringWriter();
        var code = await VerifyLogCommand.Create().Parse(arguments).InvokeAsync(new InvocationConfiguration { Output = said, Error = said, EnableDefaultExceptionHandler = false });
        return (code, said.ToString());
    }

    private static async Task<WebApplication> ServeAsync(StagedLog log)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        app.MapGet("/some/log/{**path}", async (string path) => await log.ReadAsync(path, default) is { } bytes ? Results.Bytes(bytes) : Results.NotFound());
        app.MapGet("/broken/{**path}", () => Results.StatusCode(503));
        await app.StartAsync();
        return app;
    }
}
