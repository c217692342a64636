"""Korean for the tables, by the English text."""

from collections.abc import Mapping

_HEADINGS = {
    "Rank": "순위",
    "Model": "모델",
    "Source": "출처",
    "Published": "공개된 값",
    "Seeds": "시드",
    "Data": "데이터",
    "Profile, machine": "프로필, 장비",
    "Own budget": "자체 예산",
    "Images seen": "학습한 이미지 수",
    "Number": "수치",
    "Seconds that it covers": "포함된 시간(초)",
    "Init": "초기화",
    "Head": "헤드",
    "Dataset": "데이터셋",
    "Augmentation": "증강",
    "Pretrained": "사전학습",
    "Experiment": "실험",
    "Hypothesis": "가설",
    "Verdict": "판정",
    "Categories": "범주",
    "When": "조건",
    "Seed sd": "시드 표준편차",
    "Difference, points": "차이(포인트)",
    "Image AUROC difference, points": "Image AUROC 차이(포인트)",
    "ResNet / ConvNeXt side": "ResNet / ConvNeXt 쪽",
    "Best combination": "가장 좋은 조합",
    "Next": "다음",
    "Lead, points": "앞선 차이(포인트)",
    "Original": "원본",
    "Scratch": "무작위 초기화",
    "Gain, points": "이득(포인트)",
    "Best epoch": "최고 에폭",
    "Top-1 after the last epoch": "마지막 에폭의 Top-1",
    "Reference: top-1 after the last epoch": "참고: 마지막 에폭의 top-1",
    "Accuracy": "정확도",
    "Precision": "정밀도",
    "Recall": "재현율",
    "False alarms": "오경보율",
    "Accuracy (test-chosen)": "정확도 (테스트 기준 선택)",
    "Precision (test-chosen)": "정밀도 (테스트 기준 선택)",
    "Recall (test-chosen)": "재현율 (테스트 기준 선택)",
    "F1-max (test-chosen)": "F1-max (테스트 기준 선택)",
    "Pixel F1-max (test-chosen)": "Pixel F1-max (테스트 기준 선택)",
    "Macro precision": "매크로 정밀도",
    "Macro recall": "매크로 재현율",
    "Macro F1": "매크로 F1",
    "Top-1 best epoch (test-chosen)": "최고 에폭 Top-1 (테스트 기준 선택)",
    "Fit (s)": "학습 시간 (초)",
    "Train images/s": "학습 속도 (장/초)",
    "Inference images/s": "추론 속도 (장/초)",
    "Latency p50 (ms)": "지연 시간 p50 (ms)",
    "Latency p95 (ms)": "지연 시간 p95 (ms)",
    "Host memory in training": "학습 시 호스트 메모리",
    "Device memory in training": "학습 시 장치 메모리",
    "Host memory in inference": "추론 시 호스트 메모리",
    "Device memory in inference": "추론 시 장치 메모리",
    "Model size": "모델 크기",
    "Parameters": "파라미터",
    "Trainable": "학습 파라미터",
    "Numbers kept": "저장된 값의 수",
    "FLOPs in inference": "추론 FLOPs",
    "FLOPs in training": "학습 FLOPs",
    "smallest quarter": "가장 작은 1/4",
    "second": "두 번째",
    "third": "세 번째",
    "largest quarter": "가장 큰 1/4",
    "Leaderboard": "리더보드",
    "Overview": "개요",
    "Study": "연구",
    "Details by category": "범주별 세부",
    "Runs": "실행",
    "Notes": "주석",
    "What the columns mean": "열의 뜻",
    "After a model's name: trained from random weights although pretrained ones exist.": (
        "모델 이름 뒤에 붙으며, 사전학습 가중치가 있는 모델을 무작위 가중치에서 시작했음을 뜻함."
    ),
    "Share of the profile's training budget that a run used; only 100 % can be ranked. The "
    "`standard` profile trains most models less than their papers do.": (
        "프로필의 전체 학습 중 실제로 한 비율. 100 %여야 순위를 매길 수 있음. `standard` 프로필은 "
        "대부분의 모델을 논문보다 적게 학습함."
    ),
    "Bold": "굵은 글씨",
    "Ranks: {method}.": "순위: {method}.",
    "Profile": "프로필",
    "Protocol": "프로토콜",
    "Class of machine": "장비 종류",
    "Environment": "환경",
    "Thresholds": "임계값",
    "Cost": "비용",
    "Defects": "결함",
    "Published values": "공개된 값과의 비교",
    "In no table": "어느 표에도 없음",
    "Not finished: {count}": "끝나지 않음: {count}",
    "Verdict: ResNet against ConvNeXt": "판정: ResNet 대 ConvNeXt",
    "All experiments": "모든 실험",
    "Hypotheses, recipe `{recipe}`": "가설, 레시피 `{recipe}`",
    "Pretrained against scratch, recipe `{recipe}`": "사전학습 대 무작위 초기화, 레시피 `{recipe}`",
    "Best combination of each dataset, recipe `{recipe}`": (
        "데이터셋별 가장 좋은 조합, 레시피 `{recipe}`"
    ),
    "{dataset}: against the original study": "{dataset}: 원본 연구와의 비교",
    "{dataset}: the original's own table": "{dataset}: 원본 연구의 표",
    "The hypotheses on the original's values: {name}": "원본 값으로 본 가설: {name}",
    "best epoch (test-chosen)": "최고 에폭 (테스트 기준 선택)",
    "last epoch": "마지막 에폭",
    "{name}: mean over {count} categories": "{name}: {count}개 범주의 평균",
    "ours is trained with procedural textures": "우리 모델은 생성한 질감으로 학습",
    "ours has {share} of the paper's training budget": "우리 모델의 학습은 논문의 {share}",
    "its images are {theirs} px, ours {ours}": "그쪽 이미지는 {theirs} px, 우리 이미지는 {ours}",
    "Quality within the center crop": "중앙 자르기 안의 품질",
}

_WORDS = {
    "this head ranks": "이 헤드로 순위를 매김",
    "does not rank": "순위를 매기지 않음",
    "no randomness": "무작위성 없음",
    "within": "범위 안",
    "above": "위",
    "below": "아래",
    "{own} of {all}": "{all}개 중 {own}개",
    "one replicate each": "반복 1회씩",
    "frozen backbone": "고정 백본",
    "gathering": "특징 모으기",
    "optimizer steps": "최적화 스텝",
    "optimizer step": "최적화 스텝",
    "run": "회 실행",
    "runs": "회 실행",
    "from random weights": "무작위 가중치에서 시작",
    "a seed (line: 95 % interval; gray name: no rank)": (
        "시드 하나(선: 95 % 구간, 회색 이름: 순위 없음)"
    ),
    "yes": "예",
    "no": "아니요",
    "original collapsed": "원본의 학습이 무너짐",
    "not run": "실행 안 함",
    "gain": "이득",
    "loss": "손해",
    "no gain shown": "이득이 보이지 않음",
    "ahead": "앞섬",
    "not shown to be ahead": "앞선다고 할 수 없음",
    "nothing to compare": "비교할 것이 없음",
    "failed": "실패",
    "skipped": "건너뜀",
    "profile": "프로필",
    "one model for all categories": "모든 범주에 모델 하나",
    "trained on labeled defects": "라벨이 있는 결함으로 학습",
    "{shots} shot": "{shots}장 학습",
    "{shots} shots": "{shots}장 학습",
    "({own} of {all} seeds)": "(시드 {all}개 중 {own}개)",
    "values above: an earlier run": "위의 값은 이전 실행의 것",
    "no reason was recorded": "이유가 기록되지 않음",
    "and {count} more": "외 {count}개",
    "training in {precision}": "{precision} 학습",
    "one pass": "1회 통과",
    "{images} images seen": "이미지 {images}장 학습",
    "{epochs} epochs": "{epochs}에폭",
    "{steps} steps": "{steps}스텝",
    "not recorded": "기록되지 않음",
    "Only the teacher differs": "교사만 다름",
    "Own student each, one recipe": "각자의 학생, 같은 레시피",
    "Own student each (ConvNeXt blocks), one recipe": "각자의 학생(ConvNeXt 블록), 같은 레시피",
    "Own student and original recipe each": "각자의 학생과 원본 레시피",
    "Own student (ConvNeXt blocks), original recipe each": (
        "각자의 학생(ConvNeXt 블록)과 원본 레시피"
    ),
    "Own student and tuned recipe each": "각자의 학생과 조정된 레시피",
    "withheld (not tuned: {names})": "보류(조정되지 않음: {names})",
    "run under another recipe than most": "대부분과 다른 레시피로 실행",
    "the tuned constants were chosen on {dataset}": "조정된 상수를 {dataset}에서 골랐음",
    "the sides saw different images": "양쪽이 다른 이미지를 봄",
    "the sides ran under different recipes": "양쪽의 레시피가 다름",
    "the sides ran under different budgets": "양쪽의 예산이 다름",
    "{resnet} / {convnext}, {dataset}, {head}: categories left out: {count} ({reason})": (
        "{resnet} / {convnext}, {dataset}, {head}: 제외한 범주 {count}개({reason})"
    ),
    "holds": "성립",
    "reversed": "반대",
    "not shown": "보이지 않음",
    "contradicted": "반박됨",
    "no change shown": "변화 없음",
    "not tested over seeds": "시드에 대해 검정하지 않음",
    "not tested (runs are missing)": "검정 못 함(실행이 없음)",
    "ConvNeXt ahead": "ConvNeXt가 앞섬",
    "ResNet ahead": "ResNet이 앞섬",
    "no difference shown": "차이가 보이지 않음",
    "not tested (no category that both sides have)": "검정 못 함(양쪽에 모두 있는 범주가 없음)",
    "not tested (every category was left out)": "검정 못 함(모든 범주가 제외됨)",
    "withheld ({reasons})": "보류({reasons})",
    "{dataset}: not answered; {count} categories were left out ({reasons}).": "{dataset}: 답하지 못함. 범주 {count}개가 제외됨({reasons}).",
    "not tested (n = {n}, at least {least} categories needed)": (
        "검정 못 함(n = {n}, 범주가 최소 {least}개 필요)"
    ),
}

_REASONS = {
    "No rank: {why}.": "순위 없음: {why}.",
    "Empty: {why}.": "빈칸: {why}.",
    "Empty: not recorded.": "빈칸: 기록되지 않음.",
    "Not comparable: {why}.": "비교할 수 없음: {why}.",
    "Nothing else was measured.": "그 밖에는 측정하지 않음.",
    "No values for: {parts}.": "값이 없는 항목: {parts}.",
    "not measured": "측정하지 않음",
    "no device but the CPU": "CPU 외의 장치가 없음",
    "no training step": "학습 스텝이 없음",
    "with another number of threads than most runs": "대부분의 실행과 다른 스레드 수로 측정",
    "on a busy machine": "다른 작업이 쓰던 장비에서 측정",
    "on a thermally throttled machine": "열 때문에 느려진 장비에서 측정",
    "no seed has every category": "모든 범주를 실행한 시드가 없음",
    "A cell is empty where the source gives no such value.": "빈칸: 출처에 그 값이 없음.",
    "A cell is empty where a run recorded no value for that size or kind.": (
        "빈칸: 실행에 그 크기나 종류의 값이 기록되지 않음."
    ),
    "Published is empty where we know of no comparable value.": (
        "공개된 값의 빈칸: 비교할 수 있는 값을 알지 못함."
    ),
    "A row with missing categories shows how many it has instead of a mean; its other cells are "
    "empty.": "범주가 모자란 행은 평균 대신 범주 수를 적고, 나머지 칸은 비워 둠.",
    "Empty cells: Dataset if no dataset has both sides, the difference if no category counts, p "
    "with fewer than {least} categories, Seed sd without a second seed.": (
        "빈칸의 뜻: 데이터셋은 양쪽이 모두 있는 데이터셋이 없음, 차이는 비교할 수 있는 범주가 "
        "없음, p는 범주가 {least}개 미만, 시드 표준편차는 두 번째 시드가 없음."
    ),
    "no {metric}": "{metric} 없음",
    "budget not recorded": "예산이 기록되지 않음",
    "{share} of its own budget": "자체 예산의 {share}",
    "its recipe was changed: {names}": "레시피를 바꿈: {names}",
    "{count} of {all} test images are copies of training images": (
        "테스트 이미지 {all}장 중 {count}장이 학습 이미지의 사본"
    ),
    "{count} of {all} replicates": "반복 {all}회 중 {count}회",
    "{own}, not {other}": "{other}가 아니라 {own}",
    "its own size": "고유의 크기",
    "{own} test images, not {other}": "테스트 이미지 {other}장이 아니라 {own}장",
    "other images": "다른 이미지",
    "no row has all categories": "모든 범주를 가진 행이 없음",
    "{blocks} categories, at least {least} needed to tell {count} rows apart": (
        "범주 {blocks}개, {count}개 행을 가리려면 최소 {least}개 필요"
    ),
}

_RANKS = {
    "DeLong's paired test on the same test images, with variation between seeds": (
        "같은 테스트 이미지에서의 DeLong 짝 검정, 시드 간 변동 포함"
    ),
    "A paired jackknife test on the same test images, with variation between seeds": (
        "같은 테스트 이미지에서의 잭나이프 짝 검정, 시드 간 변동 포함"
    ),
    "A paired test on the same test images, with variation between seeds": (
        "같은 테스트 이미지에서의 짝 검정, 시드 간 변동 포함"
    ),
    "A test from each row's interval over test images and its spread over seeds (some of these "
    "records lack the results of single images, so rows cannot be paired image by image; this "
    "test is more conservative)": (
        "각 행의 테스트 이미지에 대한 구간과 시드 간 변동을 이용한 검정(이미지별 결과가 없는 기록이 "
        "있어 이미지끼리 짝지을 수 없으며, 이 검정이 더 보수적임)"
    ),
    "Welch's test over seeds alone: on other test images the order may differ": (
        "시드만으로 한 Welch 검정: 다른 테스트 이미지에서는 순서가 다를 수 있음"
    ),
    "Friedman's test (p {p}), then ": "Friedman 검정(p {p}) 뒤 ",
    "Wilcoxon's signed-rank test of all pairs over {blocks} categories": (
        "{blocks}개 범주에 대한 모든 쌍의 Wilcoxon 부호순위 검정"
    ),
    "{method}; corrected by Holm (comparisons: {count})": "{method}; 비교 {count}회, Holm 보정",
    "{method}; corrected by Holm (comparisons: {count}, the pairs that may still be equal after "
    "Friedman's test)": (
        "{method}; 비교 {count}회(Friedman 검정 뒤에도 같을 수 있는 쌍), Holm 보정"
    ),
    "Ranks by {metric} of the `{head}` head.": "순위 기준: `{head}` 헤드의 {metric}.",
    "Ranks by {metric} of each model's first head.": "순위 기준: 각 모델 첫 헤드의 {metric}.",
    "Rows are ranked only on the same images, each model at its own size, after their whole budget; "
    "models with randomness need {count} replicates. A range of ranks means that the tests cannot "
    "narrow it down further. Pixel metrics are of maps at each model's own size.": (
        "같은 이미지에서 각 모델 고유의 크기로 예산을 모두 쓴 행에만 순위를 매기며, 무작위성이 있는 모델은 "
        "반복 {count}회가 필요함. 범위로 적힌 순위는 검정으로 가리지 못한 것임. 픽셀 지표는 각 모델 고유의 "
        "크기에서 잰 맵의 값임."
    ),
}

_OVERVIEW = {
    "Generated from the records by `python -m bench leaderboard`; no number is entered by hand. "
    "Quality is in percent. Tables never mix profiles or machines. The columns are explained "
    "[at the end](#what-the-columns-mean).": (
        "`python -m bench leaderboard`가 기록으로부터 만들었고, 손으로 적은 수는 없음. 품질은 "
        "퍼센트. 한 표에 프로필이나 장비를 섞지 않음. 열의 뜻은 [끝에](#열의-뜻) 있음."
    ),
    "No finished runs yet.": "아직 끝난 실행이 없음.",
    "No answer: these are smoke runs, which show that everything works but do not measure a "
    "model.": ("답 없음: 모두 동작만 확인하는 smoke 실행이며, 어떤 모델의 성능도 재지 않음."),
    "{name} (mean over {count} categories)": "{name}({count}개 범주의 평균)",
    "Nothing ranks on {place}: {why}.": "{place}에는 순위가 있는 행이 없음: {why}.",
    "Only {model} ranks on {place}, with {metric} {value}.": (
        "{place}에서 순위가 있는 것은 {model} 하나, {metric} {value}."
    ),
    "{model} is the best of the {count} that rank on {place}, with {metric} {value} (corrected p "
    "{p} against each of the others).": (
        "{place}에서 순위가 있는 {count}개 중 최고는 {model}, {metric} {value}(다른 모든 행과의 보정된 "
        "p {p})."
    ),
    "On {place}, {tied} of the {count} that rank are not shown to differ from the best; {model} "
    "has the highest mean, with {metric} {value}.": (
        "{place}에서 순위가 있는 {count}개 중 {tied}개는 최고와 차이가 보이지 않음. 평균이 가장 높은 "
        "것은 {model}, {metric} {value}."
    ),
    "{count} more tables are below.": "아래에 표가 {count}개 더 있음.",
    "Coverage: {parts}.": "실행 범위: {parts}.",
    "{ran} of {all} models ran and {ranked} rank": (
        "모델 {all}개 중 {ran}개를 실행했고 {ranked}개에 순위가 있음"
    ),
    "no run on {datasets}": "{datasets}에서 실행 없음",
    "{own} of {all} categories": "범주 {all}개 중 {own}개",
    "{own} of {all} categories of {dataset}": "{dataset}의 범주 {all}개 중 {own}개",
    "Anomaly-detection models behind one interface": "하나의 인터페이스로 다루는 이상 탐지 모델",
    "Reverse Distillation: does a ConvNeXt teacher beat a ResNet teacher?": (
        "Reverse Distillation: ConvNeXt 교사가 ResNet 교사를 이기는가?"
    ),
    "Which of ResNet50 and ViT-Small/16 gains from MixUp, and which from CutMix?": (
        "ResNet50과 ViT-Small/16 중 어느 쪽이 MixUp에서, 어느 쪽이 CutMix에서 이득을 얻는가?"
    ),
    "Other classifiers under the same protocol": "같은 프로토콜의 다른 분류기",
}

_PARAGRAPHS = {
    "Every run had its whole budget.": "모든 실행이 학습 예산을 다 썼음.",
    "{count} of {all} runs did not record their budget": "실행 {all}건 중 {count}건은 학습 예산이 기록되지 않음",
    "A smoke run shows in minutes that everything works; it does not measure a model": (
        "smoke 실행은 모든 것이 동작하는지 몇 분 안에 확인할 뿐, 모델의 성능을 재지 않음"
    ),
    "Read with care: {limits}.": "주의해서 읽을 것: {limits}.",
    "{count} of {all} runs start from random weights": (
        "실행 {all}개 중 {count}개는 무작위 가중치로 시작"
    ),
    "{count} of {all} runs had more than their training budget (up to {most})": (
        "실행 {all}개 중 {count}개는 학습 예산보다 많이 학습(최대 {most})"
    ),
    "{count} of {all} runs had part of their training budget (as little as {least})": (
        "실행 {all}개 중 {count}개는 학습 예산의 일부만 사용(최소 {least})"
    ),
    "Runs: {count}, replicates {replicates} (seeds {seeds})": (
        "실행 {count}개, 반복 {replicates}(시드 {seeds})"
    ),
    "Left out: {count} other runs of the same configurations under another recipe, data or "
    "weights": "제외: 레시피, 데이터 또는 가중치가 다른 같은 구성의 실행 {count}개",
    "Another sample of test images could change the {metric} of a run by about ± {span} points "
    "(half of its 95 % interval over images). Ranks account for this; the ± values in the "
    "tables do not.": (
        "테스트 이미지만 달라져도 한 실행의 {metric} 값은 약 ± {span}포인트 움직일 수 있음(이미지에 "
        "대한 95 % 구간의 절반). 순위에는 반영되고 ±에는 반영되지 않음."
    ),
    "The runs of these models are kept, but no study that was loaded selects them. Run the command "
    "again with `--plugin` and the file that registers the models: {names}.": (
        "이 모델들의 실행은 보관되어 있으나, 불러온 어느 연구도 이들을 고르지 않음. 모델을 등록하는 "
        "파일을 `--plugin`으로 주고 명령을 다시 실행할 것: {names}."
    ),
    "Number of seeds. Values are means ± half of the 95 % confidence interval over seeds "
    "(Student's t), or mean [interval] on the logit scale where ± would leave 0 to 100. One seed "
    "has no interval; a model without randomness needs none.": (
        "시드의 수. 값은 평균 ± 시드에 대한 95 % 신뢰구간(Student t)의 절반, ±가 0–100을 벗어나면 "
        "로짓 척도의 평균 [구간]. 시드가 하나면 구간이 없고, 무작위성이 없는 모델에는 필요 없음."
    ),
    "The best mean of the ranked rows, unless another row shows the same value.": (
        "순위가 있는 행 중 가장 좋은 평균. 같은 값으로 표시되는 행이 있으면 쓰지 않음."
    ),
    "As published, under the source's own protocol. In brackets: ours minus published in points, "
    "for runs with their whole budget; for the mean over all categories with the band within which "
    "it counts as the same result (one-pass models ± 1.0 of image and ± 0.5 of pixel AUROC, "
    "trained ones ± 1.5 and ± 1.0).": (
        "공개된 그대로, 출처의 프로토콜에 따름. 괄호: 예산을 다 쓴 실행에서 우리 값 − 공개된 값"
        "(포인트). 모든 범주의 평균에는 같은 결과로 보는 범위를 붙임(한 번만 훑는 모델은 이미지 AUROC "
        "± 1.0, 픽셀 AUROC ± 0.5, 학습 모델은 ± 1.5와 ± 1.0)."
    ),
    "Quarters end at {limits} of the image.": "넷으로 나눈 경계는 이미지 면적의 {limits}.",
    "Image AUROC of the defective images of one size or kind against all normal ones: 50 is "
    "chance. Sizes are quarters of the defective images by the area of their defects.": (
        "한 크기 또는 종류의 결함 이미지를 모든 정상 이미지와 비교한 이미지 AUROC. 50이면 우연 수준. "
        "크기는 결함 이미지를 결함 면적에 따라 넷으로 나눈 것."
    ),
    "Sees a center crop: the map is pasted back into the frame, and what the crop cut away counts "
    "as missed.": "중앙만 봄: 맵을 원래 틀에 다시 붙이며, 잘려 나간 부분은 놓친 것으로 셈.",
    "Trained in {precision}, evaluated in float32.": "{precision}로 학습하고 float32로 평가함.",
    "Trained with procedural textures, because the pictures that its publication uses were not on "
    "disk.": "생성한 질감으로 학습함: 논문이 쓰는 그림이 디스크에 없었음.",
    "Its runs were made with different code (commits: {commits}).": (
        "실행들의 코드가 서로 다름(커밋: {commits})."
    ),
    "{commit} with uncommitted changes": "{commit}(커밋하지 않은 변경 있음)",
    "Each seed trains on images of its own, the same ones for every model.": (
        "시드마다 다른 이미지로 학습하며, 한 시드의 이미지는 모든 모델에 같음."
    ),
}

_RUNS = {
    "128 px, at most 64 train and 64 test images, about 2,000 images seen; classifiers: 10,000 "
    "images seen": (
        "128 px, 학습과 테스트 이미지 최대 64장씩, 약 2,000장 학습. 분류 모델은 10,000장 학습"
    ),
    "the model's own size, a budget of minutes on one GPU": "모델 고유의 크기, GPU 하나로 몇 분의 예산",
    "each paper's own settings, classifiers: a modern recipe, 200 epochs": (
        "각 논문의 설정. 분류 모델은 최신 레시피, 200에폭"
    ),
    "this protocol fits on every normal image, so calibrated columns are empty": (
        "이 프로토콜은 정상 이미지를 모두 학습에 쓰므로 보정된 임계값의 열이 비어 있음"
    ),
    "a held-out 10 % of the normal training images, never used to fit": (
        "학습에 쓰지 않고 따로 떼어 둔 정상 학습 이미지 10 %"
    ),
    "held-out normal images if the protocol leaves some, else empty": (
        "프로토콜이 남겨 둔 정상 이미지. 없으면 빈칸"
    ),
    "calibrated on {where}: {which}": "보정에 쓴 이미지: {where}. 규칙: {which}",
    "{rule} (runs: {n})": "{rule}(실행 {n}개)",
    "the conformal 95 % quantile": "컨포멀 95 % 분위수",
    "the interpolated 95th percentile, which lets more normal images through": (
        "보간한 95번째 백분위수(정상 이미지를 더 많이 통과시킴)"
    ),
}

_COLUMNS = {
    "Not used for ranking, so not tested here: `python -m bench compare ID_A ID_B` tests two "
    "runs on the maps that they saved.": (
        "순위에 쓰지 않으므로 여기에는 검정이 없음. 두 실행의 차이는 저장된 맵으로 `python -m bench "
        "compare`가 검정함."
    ),
    "At the calibrated threshold, the 95 % quantile of the scores of held-out normal training "
    "images. It has seen no test image.": (
        "보정된 임계값에서의 값. 임계값은 따로 떼어 둔 정상 학습 이미지 점수의 95 % 분위수이며 테스트 "
        "이미지를 보지 않음."
    ),
    "The share of normal test images above the calibrated threshold; the target is 5 %.": (
        "보정된 임계값을 넘는 정상 테스트 이미지의 비율. 5 %가 목표."
    ),
    "The epoch with the best top-1 on the test set, as the original study reports it. It is "
    "optimistic, so it is never bold and never ranks.": (
        "원본 연구처럼 테스트 셋에서 top-1이 가장 높은 에폭. 실제보다 좋게 보이므로 굵게 쓰지 않고 "
        "순위에도 쓰지 않음."
    ),
    "After the last epoch.": "마지막 에폭 뒤의 값.",
    "Mean over classes, after the last epoch.": "마지막 에폭 뒤, 클래스별 평균.",
    "Area under the per-region overlap up to 5 % false positives: it can still distinguish "
    "models whose AUROC is near 100.": (
        "거짓 양성 5 %까지의 영역별 겹침 면적: AUROC가 100에 가까운 모델도 가려냄."
    ),
    "At the threshold with the best F1 on the test labels, as in the literature. It is optimistic, "
    "so it is never bold and never ranks.": (
        "문헌처럼 테스트 라벨에서 F1이 가장 높은 임계값. 실제보다 좋게 보이므로 굵게 쓰지 않고 순위에도 "
        "쓰지 않음."
    ),
    "From data to a finished model, including the features of a frozen backbone even where they "
    "came from a cache.": (
        "데이터에서 완성된 모델까지의 시간. 캐시에서 온 고정 백본의 특징 계산도 포함."
    ),
    "Parameters and buffers of the checkpoint, without the frozen backbone.": (
        "고정 백본을 뺀 체크포인트의 파라미터와 버퍼."
    ),
    "Steady state; runs that were disturbed or had another number of threads are left out.": (
        "안정 상태의 속도. 다른 작업의 방해를 받았거나 스레드 수가 다른 실행은 제외."
    ),
    "One image at a time, steady state.": "한 번에 한 장, 안정 상태.",
    "The rise after model and batch are loaded.": "모델과 배치를 올린 뒤의 증가량.",
}

_STUDIES = {
    "Columns and order of the original study. Its Top-1 Acc is Top-1, its Top-5 Acc is Top-5; "
    "its Recall, Precision and F1-score are the macro averages.": (
        "원본 연구의 열과 순서. 원본의 Top-1 Acc는 Top-1, Top-5 Acc는 Top-5이며 Recall, Precision, "
        "F1-score는 클래스별 평균."
    ),
    "Columns and order of the original study. Its F1-Score is F1, its ROC-AUC is Image AUROC; its "
    "threshold was chosen on the test images, which the details show as test-chosen.": (
        "원본 연구의 열과 순서. 원본의 F1-Score는 F1, ROC-AUC는 Image AUROC. 원본의 임계값은 테스트 "
        "이미지에서 골랐으며, 세부 표에는 '테스트 기준 선택'으로 표시."
    ),
    "One seed. Values are those of the epoch that is best on the test set, except where the column "
    "says otherwise. Its Top-1 Acc and Top-5 Acc are Top-1 and Top-5; its Recall, Precision and "
    "F1-score are means over classes.": (
        "시드 하나. 열에 따로 적지 않았으면 테스트 셋에서 가장 좋은 에폭의 값. 원본의 Top-1 Acc, Top-5 "
        "Acc는 Top-1, Top-5이고 Recall, Precision, F1-score는 클래스별 평균."
    ),
    "Recipe `{recipe}`: ": "레시피 `{recipe}`: ",
    "Left out: {count} of {all} runs that cannot rank ({reasons}).": (
        "제외: 순위를 매길 수 없는 실행, {all}개 중 {count}개({reasons})."
    ),
    "Left out above: {count} {noun} on other images or under another budget.": (
        "위에서 제외: 다른 이미지 또는 다른 예산의 {count}{noun}."
    ),
    "Difference: by how many points of top-1 after the last epoch one model's gain exceeds the "
    "other's; in H3, how much that changes with pretraining. In brackets a 95 % interval: over "
    "seeds if there are several, and a verdict needs all of it on one side of zero; with one "
    "seed, over test images alone (binomial), without a verdict. Not corrected for the number "
    "of rows.": (
        "차이: 한 모델의 이득이 다른 모델의 이득보다 마지막 에폭의 top-1로 몇 포인트 큰지를 나타내며, "
        "H3에서는 그 차이가 사전학습으로 얼마나 달라지는지를 나타냄. 대괄호는 95 % 구간. 시드가 여럿이면 "
        "시드에 대한 구간이고 구간 전체가 0의 한쪽에 있어야 판정함. 시드가 하나면 테스트 이미지만 반영한 "
        "이항 구간이며 판정하지 않음. 행의 수에 대한 보정은 하지 않음."
    ),
    "These runs cannot answer H1 or H2 yet: each needs {first} and {second} on one dataset, with "
    "and without the augmentation.": (
        "이 실행들로는 아직 H1과 H2에 답할 수 없음. 한 데이터셋에서 {first}, {second} 두 모델을 증강이 "
        "있는 경우와 없는 경우 모두 실행해야 함."
    ),
    "{name}. Does {gainer} gain more from {title} than {other} does?": (
        "{name}. {title}에서 얻는 이득은 {gainer} 쪽이 {other} 쪽보다 큰가?"
    ),
    "H3. Are the differences of H1 and H2 the same with pretraining as without?": (
        "H3. H1과 H2의 차이는 사전학습을 해도 그대로인가?"
    ),
    "Over seeds, with 95 % intervals: {parts}.": "여러 시드의 95 % 구간으로 판정: {parts}.",
    "One seed, so no test, with 95 % intervals over test images alone: {parts}.": (
        "시드가 하나뿐이라 검정은 아님(95 % 구간은 테스트 이미지만 반영): {parts}."
    ),
    "No run here has the original's number of epochs, so none is compared with it.": (
        "원본과 같은 에폭 수로 실행한 것이 없어 비교하지 않음."
    ),
    "Ours, `{recipe}`": "우리, `{recipe}`",
    "Difference, `{recipe}`": "차이, `{recipe}`",
    "Within {limit} points": "{limit}포인트 이내",
    "Within {limit} points: {own} of {all} experiments.": "실험 {all}개 중 {own}개가 {limit}포인트 이내.",
    "{name}: recall {recall:.2f} against top-1 {top1:.2f}. On a class-balanced test set the two "
    "are equal, so one of them is a misprint.": (
        "{name}: 재현율 {recall:.2f}, top-1 {top1:.2f}. 클래스가 균형 잡힌 테스트 셋에서는 두 값이 "
        "같아야 하므로 하나는 오기."
    ),
    "{name} collapsed: best in epoch {epoch} of {epochs} with {top1:.2f}, {last:.2f} after the "
    "last.": (
        "{name}: 학습이 무너짐. {epochs}에폭 중 {epoch}번째가 {top1:.2f}로 가장 높고 마지막은 {last:.2f}."
    ),
    "Only the `{recipe}` recipe ran, so whether another is closer is not known.": (
        "`{recipe}` 레시피만 실행했으므로 다른 레시피가 더 가까운지는 알 수 없음."
    ),
    "No experiment has both recipes, so which is closer is not known: `{recipe}` is compared.": (
        "두 레시피로 모두 실행한 실험이 없어 어느 쪽이 더 가까운지 알 수 없음. `{recipe}` 쪽을 비교함."
    ),
    "Closer to the original: `{recipe}`, which alone is compared (mean absolute difference in "
    "points, experiments: {count}; {texts}).": (
        "원본에 더 가까운 레시피는 `{recipe}`이며 이것만 비교함(실험 {count}개의 평균 절대 차이, "
        "포인트: {texts})."
    ),
    "yes on {cells}": "{cells}에서는 예",
    "no, it gains less, on {cells}": "{cells}에서는 아니요, 오히려 더 작음",
    "no difference is shown on {cells}": "{cells}에서는 차이가 보이지 않음",
    "no on {cells}": "{cells}에서는 아니요",
    "neither on {cells}": "{cells}에서는 차이 없음",
    "no for {cells}": "{cells}에서는 그대로가 아님",
    "no change is shown for {cells}": "{cells}에서는 변화가 보이지 않음",
    "the difference changes for {cells}": "달라진 정도는 {cells}",
    "{value} points": "{value}포인트",
    "Runs are missing for {cells}.": "실행이 없음: {cells}.",
    "The value for {cell} rests on collapsed {names}.": "{cell}의 값에는 학습이 무너진 실행이 들어 있음: {names}.",
    "{name} on {dataset}": "{dataset}의 {name}",
    "{dataset} from scratch": "{dataset} 무작위 초기화",
    "{dataset} with pretraining": "{dataset} 사전학습",
    "the sign flips": "부호가 바뀜",
    "rests on collapsed {names}": "학습이 무너진 실행 포함: {names}",
    "Not answered: no category has both `{resnet}` and `{convnext}`, pretrained.": (
        "답 없음: 사전학습된 `{resnet}`, `{convnext}` 둘 다 실행한 범주가 없음."
    ),
    "{dataset}: withheld because of runs that cannot rank ({reasons}).": (
        "{dataset}: 보류. 순위를 매길 수 없는 실행이 들어 있음({reasons})."
    ),
    "{dataset}: {verdict}; `{convnext}` minus `{resnet}` is {difference} points of {metric} over "
    "{count} categories.": (
        "{dataset}: {verdict}. 범주 {count}개에서 {metric} 차이(`{convnext}` − `{resnet}`)는 "
        "{difference}포인트."
    ),
    "These runs do not address the study's question. It compares `{resnet}` with `{convnext}`, "
    'pretrained, on at least {least} categories of one dataset: `pytest bench -k "(rd_resnet50 or '
    'rd_convnext_adapted) and pretrained" --recipes same`.': (
        "이 실행들로는 연구의 질문에 답할 수 없음. 한 데이터셋의 범주 {least}개 이상에서 사전학습된 "
        '`{resnet}`, `{convnext}` 둘을 비교해야 함: `pytest bench -k "(rd_resnet50 or '
        'rd_convnext_adapted) and pretrained" --recipes same`.'
    ),
    "Difference: ConvNeXt minus ResNet, mean over the categories of one dataset [95 % CI over "
    "categories]; seeds are averaged within each category first. p: two-sided sign-flip test over "
    "categories, exact for up to {limit} of them; fewer than {least} cannot reach p < "
    "{significance:.2f}. No correction for the number of rows: the first row is the study's "
    "question. Seed sd: standard deviation between seeds of one configuration and category, in "
    "points; the test does not use it.": (
        "차이: ConvNeXt − ResNet, 한 데이터셋 범주들의 평균 [범주에 대한 95 % 신뢰구간]. 먼저 범주 "
        "안에서 시드를 평균함. p: 범주에 대한 양측 부호 뒤집기 검정, {limit}개까지 정확. {least}개보다 "
        "적으면 p < {significance:.2f}에 이를 수 없음. 행의 수에 대해 보정하지 않음: 첫 행이 연구의 "
        "질문. 시드 표준편차: 한 구성과 범주 안 시드 간 표준편차(포인트)이며 검정에 쓰지 않음."
    ),
}

# Of ``results/reference/anomaly_publications.csv``.
_CAUTIONS = {
    "its mean is broken": "그 평균이 잘못됨",
    "it pools features by 2, ours by 4": "그쪽은 특징을 2로, 우리는 4로 풀링함",
    "anomalib up to 2.2 gives it too high (its issue 3718)": (
        "anomalib 2.2까지는 이 값을 너무 높게 냄(이슈 3718)"
    ),
    "its checkpoint was chosen on the test set": "그 체크포인트를 테스트 세트로 골랐음",
    "the best of three image sizes, chosen by category": (
        "범주마다 세 이미지 크기 중 가장 좋은 것을 고른 값"
    ),
    "its code averages one AUPRO per defective image, ours is one over the test set": (
        "그 코드는 결함 이미지마다 구한 AUPRO를 평균하고, 우리 값은 테스트 세트 전체에서 하나를 구함"
    ),
    "its learning rate and batch vary by category, ours do not": (
        "그쪽은 학습률과 배치가 범주마다 다르고 우리는 같음"
    ),
    "its map is not blurred": "그쪽 맵은 흐리게 하지 않음",
    "its map is the product of three scales, ours the finest": (
        "그쪽 맵은 세 스케일의 곱이고 우리 맵은 가장 촘촘한 스케일"
    ),
    "its maps have the size of the original images, ours 256 px": (
        "그쪽 맵은 원본 이미지 크기이고 우리 맵은 256 px"
    ),
    "its pixels are judged at 256 px, ours at 392": (
        "그쪽은 픽셀을 256 px에서, 우리는 392 px에서 평가함"
    ),
    "its pixels are those of a crop of 224 px": "그쪽 픽셀은 224 px로 자른 안쪽만임",
    "its temperature is 0.1, its score the maximum and its map not blurred": (
        "그쪽은 온도가 0.1이고, 점수가 최댓값이며, 맵을 흐리게 하지 않음"
    ),
}

KOREAN: Mapping[str, str] = {
    **_HEADINGS,
    **_WORDS,
    **_REASONS,
    **_CAUTIONS,
    **_RANKS,
    **_OVERVIEW,
    **_PARAGRAPHS,
    **_RUNS,
    **_COLUMNS,
    **_STUDIES,
}
