using System.Net;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Keys;

namespace KantaGateway.Tests.Keys;

/// <summary>Each identity code has one number for ever, over the key service's own contract.</summary>
public sealed class KnownPeopleTests : PeopleTests
{
    [Fact]
    public async Task A_number_is_random_and_the_same_after_a_restart_and_no_key_makes_it()
    {
        var number = await NumberAsync(0);
        await RestartAsync();
        Assert.Equal(number, await NumberAsync(0));
        Assert.NotEqual(number, await NumberAsync(1));
        Assert.NotEqual(number, Pseudonym.Read(HMACSHA256.HashData(FileNow().PseudonymKeys!.Single().Key, Encoding.ASCII.GetBytes(Code(0)))));
        await using var another = new Another();
        await another.Keys.InitializeAsync();
        Assert.NotEqual(number, await NumberAsync(0, another.Keys));
        // The register names nobody.
        var bytes = await File.ReadAllBytesAsync(Register(1));
        Assert.Equal(2 * RecordSize, bytes.Length);
        Assert.Equal((-1, -1), (bytes.AsSpan().IndexOf(number.ToArray()), bytes.AsSpan().IndexOf(Encoding.ASCII.GetBytes(Code(0)))));
    }

    [Fact]
    public async Task However_many_ask_at_once_each_code_gets_one_number()
    {
        var numbers = await Task.WhenAll(Enumerable.Range(0, 120).Select(i => NumberAsync(i % 40)));
        for (var i = 0; i < numbers.Length; i++)
            Assert.Equal(numbers[i % 40], numbers[i]);
        Assert.Equal(40, numbers.Distinct().Count());
        Assert.Equal(40 * RecordSize, new FileInfo(Register(1)).Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(10)]
    [InlineData(30)]
    [InlineData(100)]
    [InlineData(RecordSize - 1)]
    [InlineData(RecordSize)]
    public async Task A_register_that_was_changed_is_no_start(int at)
    {
        await RegisterAsync(3);
        await _keys.StopAsync();
        var bytes = await File.ReadAllBytesAsync(Register(1));
        var changed = bytes.ToArray();
        changed[at] ^= 1;
        foreach (var other in (byte[][])[changed, bytes[RecordSize..], bytes[..^RecordSize], bytes[..^1], []])
        {
            await File.WriteAllBytesAsync(Register(1), other);
            Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        }
        File.Delete(Register(1));
        Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        // Nor where what says where it ends is gone too: the custody log knows that the service was at work.
        await File.WriteAllBytesAsync(Register(1), bytes);
        await _keys.StartAsync();
        await _keys.PostAsync<object, CreateAnswer>("/v1/keys/create", _keys.Grant(GrantUse.Write, await NumberAsync(0)), new { });
        await _keys.StopAsync();
        File.Delete(Ceremonies);
        File.Delete(Register(1));
        Assert.Contains("who has which number", await RefusesToStartAsync(), StringComparison.Ordinal);
        Assert.False(File.Exists(Register(1)));
    }

    /// <summary>Each durable step of giving a number fails once before it and once after it.</summary>
    [Fact]
    public async Task Who_was_not_told_a_number_because_the_disk_failed_gets_one_and_no_other_later()
    {
        Directory.CreateDirectory(Register(1));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(0));
        Directory.Delete(Register(1));
        // It is in the register, and where that ends could not be kept.
        Directory.CreateDirectory(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(0));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(1));
        Directory.Delete(Ceremonies + ".new");
        var number = await NumberAsync(0);
        Assert.Equal(RecordSize, new FileInfo(Register(1)).Length);
        await RestartAsync();
        Assert.Equal(number, await NumberAsync(0));
        // A kill in that place: nobody was told, and it stands.
        Directory.CreateDirectory(Ceremonies + ".new");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync(2));
        await _keys.StopAsync();
        Directory.Delete(Ceremonies + ".new");
        await File.AppendAllTextAsync(Register(1), "a part of a record");
        await _keys.StartAsync();
        await NumberAsync(2);
        await NumberAsync(3);
        Assert.Equal(3 * RecordSize, new FileInfo(Register(1)).Length - new FileInfo(Register(1)).Length % RecordSize);
        await RestartAsync();
        Assert.Equal(number, await NumberAsync(0));
    }

    /// <summary>A backend may be far away: whoever waits for it keeps nobody else from a number.</summary>
    [Fact]
    public async Task Who_waits_for_a_slow_backend_keeps_nobody_else_waiting()
    {
        await SilentAsync();
        var slow = new TaskCompletionSource();
        Silent.SealsAfter = slow.Task;
        var first = NumberAsync(0);
        while (Silent.Waited == 0)
            await Task.Yield();
        Silent.SealsAfter = null;
        // Only where somebody waits for ever does the time count.
        var second = await NumberAsync(1).WaitAsync(TimeSpan.FromMinutes(1));
        Assert.False(first.IsCompleted);
        slow.SetResult();
        var number = await first;
        await RestartAsync();
        Assert.Equal((number, second), (await NumberAsync(0), await NumberAsync(1)));
    }

    [Fact]
    public async Task Who_is_only_looked_for_gets_no_number()
    {
        async Task<(HttpStatusCode, string?)> LookAsync(int person)
        {
            using var answer = await _keys.PostAsync("/v1/pseudonym", _keys.Gateway.SignServiceToken(), new { identityCode = Code(person), isKnown = true });
            return (answer.StatusCode, answer.StatusCode == HttpStatusCode.OK ? (await answer.Content.ReadFromJsonAsync<PseudonymAnswer>())!.Pseudonym : null);
        }
        Assert.Equal((HttpStatusCode.NotFound, null), await LookAsync(0));
        Assert.False(File.Exists(Register(1)));
        var number = await NumberAsync(0);
        Assert.Equal((HttpStatusCode.OK, number.Encode()), await LookAsync(0));
        Assert.Equal((HttpStatusCode.NotFound, null), await LookAsync(1));
        await RestartAsync(isMarked: true);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, null), await LookAsync(1));
        Assert.Equal((HttpStatusCode.OK, number.Encode()), await LookAsync(0));
    }

    private sealed class Another : IAsyncDisposable
    {
        public RunningKeys Keys { get; } = new() { Registers = 0 };

        public async ValueTask DisposeAsync() => await Keys.DisposeAsync();
    }
}
