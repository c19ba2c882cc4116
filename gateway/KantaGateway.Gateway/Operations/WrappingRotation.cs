using System.Net;
using System.Text.Json.Nodes;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;

namespace KantaGateway.Gateway.Operations;

/// <summary>The repository's wrapping of all data keys with the current wrapping key, as operators begin and follow it.</summary>
public sealed class WrappingRotation(RepositoryNodes nodes)
{
    // It counts, which takes a while where there are millions.
    private readonly HttpClient _repository = nodes.CreateClient(TimeSpan.FromMinutes(1));

    /// <summary>Has the repository begin now. One that cannot be reached begins by itself within a minute of being back.</summary>
    public async Task BeginAsync(CancellationToken cancel)
    {
        try
        {
            using var _ = await _repository.PostAsync(new Uri("/rotation", UriKind.Relative), null, cancel);
        }
        catch (Exception e) when (IsSilence(e, cancel))
        {
            // It looks by itself.
        }
    }

    /// <summary>Whether any data key is wrapped with another version than the current one.</summary>
    /// <exception cref="FaultException">It cannot be known now.</exception>
    public async Task<bool> HasKeysLeftAsync(CancellationToken cancel) => (long)(await ProgressAsync(cancel))["left"]! != 0;

    /// <summary><c>version</c>, <c>all</c>, <c>left</c>, <c>percent</c>, <c>perSecond</c>, <c>secondsLeft</c>; counted anew.</summary>
    /// <exception cref="FaultException">It cannot be known now.</exception>
    public async Task<JsonNode> ProgressAsync(CancellationToken cancel)
    {
        try
        {
            using var answer = await _repository.GetAsync(new Uri("/rotation", UriKind.Relative), cancel);
            if (answer.StatusCode == HttpStatusCode.OK && JsonNode.Parse(await answer.Content.ReadAsStringAsync(cancel)) is { } progress && progress["left"] is not null)
                return progress;
        }
        catch (Exception e) when (IsSilence(e, cancel))
        {
            // Said below.
        }
        throw new FaultException(new Fault(FaultKind.StoreUnavailable, "The repository cannot say how many data keys are left. Nothing was done; try again."));
    }

    private static bool IsSilence(Exception e, CancellationToken cancel) =>
        e is HttpRequestException or System.Text.Json.JsonException || (e is TaskCanceledException && !cancel.IsCancellationRequested);
}
