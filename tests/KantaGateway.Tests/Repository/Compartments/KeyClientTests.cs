using System.Net;
using System.Net.Http.Json;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Repository.Compartments;

namespace KantaGateway.Tests.Repository.Compartments;

/// <summary>What costs is the asking, so those who ask at the same time ask together; none of them notices.</summary>
public sealed class KeyClientTests : IDisposable
{
    private const int Lanes = 4, MostAtOnce = 64;

    private readonly KeyServiceDouble _service = new();
    private readonly KeyClient _keys;

    public KeyClientTests() => _keys = new(new HttpClient(_service) { BaseAddress = new("http://localhost") });

    /// <summary>Answers with the status that the grant names, and a key made of the wrapped one.</summary>
    private sealed class KeyServiceDouble : HttpMessageHandler
    {
        public List<string[]> Asked { get; } = [];
        public TaskCompletionSource AllLanesTaken { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        public TaskCompletionSource MayAnswer { get; } = new();
        public HttpStatusCode Status { get; set; } = HttpStatusCode.OK;

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var keys = (await request.Content!.ReadFromJsonAsync<UnwrapRequest>(cancellationToken))!.Keys;
            lock (Asked)
            {
                Asked.Add([.. keys.Select(static key => key.Grant)]);
                if (Asked.Count == Lanes)
                    AllLanesTaken.SetResult();
            }
            await MayAnswer.Task;
            return new(Status) { Content = JsonContent.Create(new { keys = keys.Select(static key => int.Parse(key.Grant) is var status && status != 200 ? new { status, key = (object?)null } : new { status, key = (object?)new { key = KeyOf(key.Wrapped), witness = "w" } }) }) };
        }
    }

    public void Dispose() => _keys.Dispose();

    [Fact]
    public async Task Who_comes_while_others_are_answered_goes_with_the_next_and_gets_the_own_key()
    {
        var first = await TakeAllLanesAsync();
        var others = Enumerable.Range(Lanes, MostAtOnce + 10).Select(n => AskAsync(200, n)).ToList();
        _service.MayAnswer.SetResult();
        var given = await Task.WhenAll(first.Concat(others));
        Assert.All(given.Index(), static one => Assert.Equal(KeyOf([(byte)one.Index]), one.Item!.Key));
        Assert.All(_service.Asked, static grants => Assert.InRange(grants.Length, 1, MostAtOnce));
        Assert.Equal(given.Length, _service.Asked.Sum(static grants => grants.Length));
        // As each lane ends it takes all that wait, or as many as go.
        Assert.InRange(_service.Asked.Count, Lanes + 2, 2 * Lanes);
    }

    [Fact]
    public async Task Each_is_answered_for_itself()
    {
        var first = await TakeAllLanesAsync();
        var (given, erased, spent, tampered, overBudget, refused, again) = (AskAsync(200, 9), AskAsync(410, 9), AskAsync(409, 9), AskAsync(422, 9), AskAsync(429, 9), AskAsync(401, 9), AskAsync(200, 10));
        _service.MayAnswer.SetResult();
        await Task.WhenAll(first);
        Assert.Equal(KeyOf([9]), (await given)!.Key);
        Assert.Equal(KeyOf([10]), (await again)!.Key);
        Assert.Null(await erased);
        await Assert.ThrowsAsync<AskAnewException>(() => spent);
        await Assert.ThrowsAsync<TamperedException>(() => tampered);
        Assert.Equal(FaultKind.TooMany, (await Assert.ThrowsAsync<FaultException>(() => overBudget)).Fault.Kind);
        Assert.Equal(FaultKind.KeyUnavailable, (await Assert.ThrowsAsync<FaultException>(() => refused)).Fault.Kind);
        Assert.InRange(_service.Asked.Count, Lanes + 1, 2 * Lanes);
    }

    [Fact]
    public async Task For_who_has_gone_no_key_is_asked_and_nobody_waits_longer_for_it()
    {
        var first = await TakeAllLanesAsync();
        using var leaves = new CancellationTokenSource();
        var (gone, stays) = (AskAsync(409, 9, leaves.Token), AskAsync(200, 9));
        await leaves.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => gone);
        _service.MayAnswer.SetResult();
        Assert.NotNull(await stays);
        await Task.WhenAll(first);
        Assert.DoesNotContain("409", _service.Asked.SelectMany(static grants => grants));
    }

    [Fact]
    public async Task Where_the_key_service_fails_all_who_asked_together_are_refused_and_the_next_is_not()
    {
        var first = await TakeAllLanesAsync();
        var others = Enumerable.Range(0, 10).Select(n => AskAsync(200, n)).ToList();
        _service.Status = HttpStatusCode.ServiceUnavailable;
        _service.MayAnswer.SetResult();
        foreach (var asked in first.Concat(others))
            Assert.Equal(FaultKind.KeyUnavailable, (await Assert.ThrowsAsync<FaultException>(() => asked)).Fault.Kind);
        _service.Status = HttpStatusCode.OK;
        Assert.NotNull(await AskAsync(200, 1));
    }

    private async Task<List<Task<GivenKey?>>> TakeAllLanesAsync()
    {
        var taken = Enumerable.Range(0, Lanes).Select(n => AskAsync(200, n)).ToList();
        await _service.AllLanesTaken.Task;
        return taken;
    }

    private Task<GivenKey?> AskAsync(int status, int number, CancellationToken cancel = default) => _keys.UnwrapAsync(status.ToString(), [(byte)number], cancel);

    private static byte[] KeyOf(byte[] wrapped) => [.. wrapped, .. new byte[31]];
}
