using System.CommandLine;
using KantaGateway.Harness;

namespace KantaGateway.Tests.Loading;

/// <summary>What the harness says to words that it cannot work with; nothing is asked of anybody.</summary>
public sealed class HarnessCommandTests
{
    [Theory]
    [InlineData("verify --target", "--dev d")]
    [InlineData("load --target", "--dev d --as aurora f.json")]
    [InlineData("outage --dev d --do true --target https://localhost:8443")]
    [InlineData("verify-log", "--vkey v --state s")]
    [InlineData("load-profile national --dev d --target")]
    [InlineData("load-profile national --other")]
    [InlineData("drill vastaamo --target", "--dev d")]
    public async Task A_command_says_what_an_address_is_where_it_is_given_none(string before, string after = "")
    {
        foreach (var wrong in new[] { "localhost:8443", "https:/localhost", "//localhost", "ftp://localhost", "https://localhost:84433" })
        {
            var (code, said) = await RunAsync($"{before} {wrong} {after}");
            Assert.Equal(2, code);
            Assert.Contains($"'{wrong}' is no address: one begins with https://", said, StringComparison.Ordinal);
            Assert.DoesNotContain("   at ", said, StringComparison.Ordinal);
        }
    }

    /// <summary>1 would say that a gateway or a log was looked at, and found wanting.</summary>
    [Theory]
    [InlineData("verify --target")]
    [InlineData("verify --profile nobody")]
    [InlineData("verify-log https://localhost --vkey v --state s --parallel 65")]
    [InlineData("nothing")]
    public async Task Words_that_make_no_command_find_nothing_out(string words) => Assert.Equal(2, (await RunAsync(words)).Code);

    [Fact]
    public async Task Whoever_asks_what_there_is_is_told() => Assert.Equal(0, (await RunAsync("verify --help")).Code);

    private static async Task<(int Code, string Said)> RunAsync(string words)
    {
        using var said = new StringWriter();
        var code = await Commands.RunAsync(words.Split(' ', StringSplitOptions.RemoveEmptyEntries), new InvocationConfiguration { Output = said, Error = said });
        return (code, said.ToString());
    }
}
