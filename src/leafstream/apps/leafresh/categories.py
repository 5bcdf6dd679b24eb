"""The eight categories: their codes, their labels and the words that belong to them."""

from __future__ import annotations

import msgspec


class Category(msgspec.Struct, frozen=True):
    """`words` speak of the category by themselves; `hints` only where a challenge is asked for.

    Somebody who asks for a film wants one about the environment; somebody who asks what a film
    costs wants something else.
    """

    code: str
    label: str
    words: tuple[str, ...]
    hints: tuple[str, ...] = ()


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


CATEGORIES = (
    Category(
        "ZERO_WASTE",
        "제로웨이스트",
        _list(
            "제로웨이스트, 제로 웨이스트, zero waste, zerowaste, 텀블러, 다회용기, "
            "일회용품, 일회용, 일회용 컵, 장바구니, 에코백, 손수건, 빨대, 비닐봉지, 비닐, "
            "플라스틱, 페트병, 리필, 분리배출, 분리수거, 재활용, 과대 포장, 물티슈, "
            "음식물 쓰레기, 쓰레기 줄이기"
        ),
        _list("포장, 배달, 영수증, 컵, 칫솔, 비누"),
    ),
    Category(
        "PLOGGING",
        "플로깅",
        _list(
            "플로깅, plogging, 줍깅, 조깅, 산책, 쓰담달리기, 비치코밍, 클린하이킹, 쓰레기 줍기, "
            "줍다, 꽁초, 담배꽁초"
        ),
        _list("달리기, 러닝, 런닝, 마라톤, 걷기, 걷다, 뛰다, 등산, 하이킹, 운동"),
    ),
    Category(
        "CARBON_FOOTPRINT",
        "탄소발자국",
        _list(
            "탄소발자국, 탄소 발자국, 탄소, 온실가스, 배기가스, 대중교통, 카풀, 전기차, 공회전, "
            "로컬푸드, 저탄소"
        ),
        _list(
            "버스, 지하철, 자전거, 자동차, 승용차, 운전, 교통, 비행기, 기차, 여행, 출장, 이동, "
            "계단, 엘리베이터, 제철, 중고, 옷, 쇼핑"
        ),
    ),
    Category(
        "ENERGY_SAVING",
        "에너지 절약",
        _list(
            "에너지 절약, 에너지, 절전, 절수, 콘센트, 플러그, 멀티탭, 대기전력, 전기, 전력, "
            "전기 요금, 소등, 불 끄기, 난방, 냉방, 단열, 물 절약"
        ),
        _list(
            "에어컨, 선풍기, 보일러, 온도, 냉장고, 세탁기, 건조기, 조명, 전등, 전구, 모니터, 샤워, "
            "온수, 가전, 빨래, 수도"
        ),
    ),
    Category(
        "UPCYCLING",
        "업사이클",
        _list(
            "업사이클, 업사이클링, 업싸이클링, upcycle, upcycling, 새활용, 리폼, 재사용, 헌 옷, "
            "헌옷, 폐품, 양말목, 폐현수막, 우유갑"
        ),
        _list("공예, 만들기, 꾸미기, 유리병, 청바지, 상자, 바느질, DIY"),
    ),
    Category(
        "MEDIA",
        "문화 공유",
        _list("문화 공유, 문화공유, 환경 영화, 환경 책, 환경 다큐, 환경 뉴스, 환경 기사, 캠페인"),
        _list(
            "문화, 공유, 다큐, 다큐멘터리, 영화, 책, 독서, 뉴스, 영상, 유튜브, SNS, 인스타, "
            "인스타그램, 블로그, 전시, 전시회, 팟캐스트, 인증샷, 콘텐츠, 그림책"
        ),
    ),
    Category(
        "DIGITAL_CARBON",
        "디지털 탄소",
        _list(
            "디지털 탄소, 디지털탄소, 디지털 탄소발자국, 데이터 센터, 메일함, 스팸 메일, "
            "메일 정리, 메일 지우기, 디지털 디톡스, 화질"
        ),
        _list(
            "디지털, 메일, 이메일, 클라우드, 스트리밍, 넷플릭스, 데이터, 스마트폰, 휴대폰, 핸드폰, "
            "노트북, 컴퓨터, 앱, 다크 모드, 다크모드, 와이파이, 파일, 사진, 인터넷"
        ),
    ),
    Category(
        "VEGAN",
        "비건",
        _list(
            "비건, vegan, 채식, 채식주의, 채식주의자, 콩고기, 대체육, 식물성, 육식, 고기 줄이기, "
            "고기 없는"
        ),
        _list("고기, 육류, 채소, 야채, 두부, 두유, 나물, 샐러드, 버섯, 과일, 도시락, 식단, 요리"),
    ),
)
DEFAULT = CATEGORIES[0]
BY_CODE = {category.code: category for category in CATEGORIES}


def named(value: str) -> Category | None:
    """The category of that label or code, however it is spaced and in whatever case."""
    wanted = _bare(value)
    for category in CATEGORIES:
        if wanted in (_bare(category.code), _bare(category.label)):
            return category
    return None


def _bare(text: str) -> str:
    return "".join(text.split()).casefold()
